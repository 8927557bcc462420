"""Many seeds, each drawn, played and judged, spread over processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from pyfl.simulation.drawing import Size, draw
from pyfl.simulation.verdict import Verdict, judge

__all__ = ["sweep"]

SEEDS_AT_ONCE = 20  # a process's portion: long enough that handing it over costs nothing, short enough for progress


def sweep(seeds: range, size: Size, kinds: Sequence[str], jobs: int) -> Iterator[Verdict]:
    """The verdict on each seed, in the order in which they end. `jobs` processes; with 1 it is this one."""
    if jobs == 1:
        for seed in seeds:
            yield judge(draw(seed, size, kinds))
        return
    portions = [seeds[start : start + SEEDS_AT_ONCE] for start in range(0, len(seeds), SEEDS_AT_ONCE)]
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"))
    try:
        for done in as_completed([pool.submit(_portion, seeds, size, tuple(kinds)) for seeds in portions]):
            yield from done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _portion(seeds: range, size: Size, kinds: Sequence[str]) -> list[Verdict]:
    return [judge(draw(seed, size, kinds)) for seed in seeds]

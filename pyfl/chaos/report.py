"""The lines of a chaos run, as JSON has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from pyfl.chaos.injection import Injected
from pyfl.chaos.split import Split
from pyfl.chaos.timing import Timing
from pyfl.events import RoundCommitted

__all__ = ["fault_line", "figures", "injection_line", "plain_round_bytes", "round_line", "split_figures", "spread"]


def round_line(commit: RoundCommitted) -> dict[str, Any]:
    """`round`: as it was committed."""
    return {
        "event": "round", "round": commit.round, "epoch": commit.epoch, "contributors": len(commit.contributors), "void": commit.void,
        "digest": commit.digest, "train_s": round(commit.train_s, 3), "reduce_s": round(commit.reduce_s, 3),
    }  # fmt: skip


def injection_line(injected: Injected) -> dict[str, Any]:
    """`injected`: a fault begins."""
    return {
        "event": "injected", "number": injected.number, "kind": injected.planned.kind, "round": injected.round, "phase": injected.phase,
        "victims": [f"peer-{index}" for index in injected.victims], "coordinator": injected.coordinator,
        "what": injected.what or injected.planned.shape,
    }  # fmt: skip


def fault_line(injected: Injected, timing: Timing, split: Split | None) -> dict[str, Any]:
    """`fault`: what was done to whom, and how it was taken; of a partition also what `split_figures` has."""
    line = {
        "event": "fault", "number": injected.number, "kind": injected.planned.kind, "what": injected.what or injected.planned.shape,
        "round": injected.round, "phase": injected.phase, "victims": [f"peer-{index}" for index in injected.victims],
        "coordinator": injected.coordinator, "lasted_s": None if injected.ended is None else round(injected.ended - injected.at, 3),
        "detect_s": timing.detect_s, "detected_by": timing.detected_by, "repair_s": timing.repair_s, "repair_round": timing.repair_round,
        "hold_s": timing.hold_s, "rejoin_s": timing.rejoin_s,
    }  # fmt: skip
    return line if split is None else line | split_figures(split)


def split_figures(split: Split) -> dict[str, Any]:
    """Who was on which side, how many rounds each committed while it was cut off, and when all were equal again."""
    return {
        "sides": [[f"peer-{index}" for index in side] for side in split.sides],
        "side_commits": [len(rounds) for rounds in split.commits],
        "equal_s": split.equal_s,
    }


def spread(values: Iterable[float | None]) -> dict[str, float | None]:
    """Median and maximum of what there is."""
    known = [value for value in values if value is not None]
    return {"median": round(median(known), 3) if known else None, "max": round(max(known), 3) if known else None}


def figures(timings: Sequence[tuple[Injected, Timing]]) -> dict[str, Any]:
    """`detect_s`, `repair_s` and `rejoin_s` of all faults and of each kind."""
    names = ("detect_s", "repair_s", "hold_s", "rejoin_s")
    of_all = {name: spread(getattr(timing, name) for _, timing in timings) for name in names}
    kinds = Counter(injected.planned.kind for injected, _ in timings)
    if len(kinds) < 2:
        return of_all
    of_each = {
        kind: {"faults": number} | {name: spread(getattr(t, name) for i, t in timings if i.planned.kind == kind) for name in names}
        for kind, number in kinds.items()
    }
    return of_all | {"by_kind": of_each}


def plain_round_bytes(sent: dict[int, int], quiet: Sequence[int], peers: int, model_bytes: int) -> tuple[int, str]:
    """What all peers send in a round without faults: measured in at least two such rounds, else 2 (N - 1) models."""
    measured = [sent[number] for number in quiet if number in sent]
    if len(measured) > 1:
        return round(median(measured)), "measured"
    return 2 * (peers - 1) * model_bytes, "computed"

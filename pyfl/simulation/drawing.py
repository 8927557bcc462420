"""Scenarios drawn from a seed, in two sizes: the wide one of many segments, and the standard one that is quick to play."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyfl.aggregation import Strategy, fedadam, fedavg, fedavgm
from pyfl.overlay.simulated.faults import FAULT_KINDS, FaultPlan
from pyfl.simulation.probe import STRIDE
from pyfl.simulation.scenario import Scenario
from pyfl.tiers import Tiers, chain, direct, rotated, star, tree

__all__ = ["SIZES", "STANDARD", "WIDE", "Size", "draw"]

STRATEGIES: tuple[Callable[[], Strategy], ...] = (fedavg, fedavgm, fedadam)
TIERS: tuple[Callable[[], Tiers], ...] = (lambda: rotated(2), lambda: rotated(4), lambda: tree(2), star, chain, direct)
WITHOUT_FAULTS = 0.04  # of the runs: nothing may be removed, begun again or lost in them


@dataclass(frozen=True, slots=True)
class Size:
    """What a run is drawn within; ranges include both ends."""

    peers: tuple[int, int]
    rounds: int
    segments: tuple[int, int]
    scratch: tuple[int, int]
    """Buffers for partials; 0 for as many as a real peer would have."""
    horizon_s: float
    """Faults begin before this."""


STANDARD = Size(peers=(3, 7), rounds=5, segments=(2, 4), scratch=(1, 2), horizon_s=20.0)
WIDE = Size(peers=(3, 9), rounds=6, segments=(25, 25), scratch=(0, 0), horizon_s=25.0)
SIZES = {"standard": STANDARD, "wide": WIDE}


def draw(seed: int, size: Size = STANDARD, kinds: Sequence[str] = FAULT_KINDS) -> Scenario:
    """The scenario of a seed, with faults of these kinds; without kinds nothing goes wrong."""
    rng = random.Random(f"scenario {seed}")  # noqa: S311 - a simulation must be repeatable
    horizon_s, rounds = size.horizon_s, size.rounds
    peers = rng.randint(*size.peers)
    late = rng.choice((0, 0, 0, 1, 2)) if peers >= 4 else 0
    present = [f"peer-{i}" for i in range(peers - late)]
    bad = [frozenset(rng.sample(range(1, rounds + 1), 2)) if rng.random() < 0.08 else frozenset[int]() for _ in range(peers)]
    if rng.random() < 0.03:  # once in a while a whole round goes wrong
        wrong = rng.randint(1, rounds)
        bad = [of_one | {wrong} for of_one in bad]
    wishes: list[tuple[float, str]] = []
    if rng.random() < 0.1:
        wishes.append((round(rng.uniform(1.0, horizon_s), 3), f"pause {rng.uniform(0.1, 10.0):.3f}"))
    if rng.random() < 0.08 and peers - late > 3:
        wishes.append((round(rng.uniform(1.0, horizon_s), 3), f"kick {rng.randrange(1, peers - late)}"))
    own = random.Random(f"residuals of scenario {seed}")  # noqa: S311
    residuals = own.random() < 0.5
    late_now_and_then = own.randrange(peers) if own.random() < 0.4 else -1
    straggler = rng.randrange(peers) if rng.random() < 0.1 else late_now_and_then if residuals else -1
    faults = FaultPlan.random(seed, present, horizon_s, kinds) if kinds and rng.random() >= WITHOUT_FAULTS else FaultPlan(())
    return Scenario(
        seed=seed, peers=peers, late=tuple(round(rng.uniform(0.5, horizon_s), 3) for _ in range(late)),
        strategy=rng.choice(STRATEGIES)(), tiers=rng.choice(TIERS)(), min_contributors=rng.choice((0, 0, 0, 1, 2, peers // 2)),
        samples=tuple(rng.choice((1, 1, 3, 40)) for _ in range(peers)), bad_rounds=tuple(bad),
        straggler=straggler, loss=rng.choice((0.0, 0.0, 0.0, 0.01, 0.05)),
        faults=faults, wishes=tuple(sorted(wishes)), rounds=rounds, values=STRIDE * rng.randint(*size.segments),
        scratch=rng.randint(*size.scratch), residuals=residuals,
    )  # fmt: skip

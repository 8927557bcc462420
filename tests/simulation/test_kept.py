"""A reduce is interrupted in its middle: what stays of it makes the same model and server state, bit for bit."""

from __future__ import annotations

import random

import pytest

from pyfl.aggregation import Strategy, fedadam, fedavg, fedavgm
from pyfl.overlay.simulated.faults import FaultPlan
from pyfl.rounds.records import RoundRecord
from pyfl.simulation.invariants import check
from pyfl.simulation.ledger_log import records
from pyfl.simulation.playing import Started, start
from pyfl.simulation.scenario import Scenario
from pyfl.tiers import chain, rotated, tree

PEERS = 6
SHAPES = (rotated(2), rotated(4), tree(2), chain())
LATE = PEERS - 1
"""A peer that trains for too long and receives only, where a receiver is to die."""


def interrupted(seed: int, strategy: Strategy, ill: str) -> Started:
    """`ill`: a link breaks, or a receiver or a contributor dies, when somebody has finished some segments and nobody all."""
    nothing: frozenset[int] = frozenset()
    rng = random.Random(f"interrupted {seed}")
    scenario = Scenario(
        seed=seed, peers=PEERS, late=(), strategy=strategy, tiers=SHAPES[seed % len(SHAPES)], min_contributors=0,
        samples=(1, 2, 3, 4, 5, 6), bad_rounds=(nothing,) * LATE + (frozenset({2}) if ill == "receiver" else nothing,), straggler=-1,
        loss=0.0, faults=FaultPlan(()), rounds=3,
    )  # fmt: skip
    started = start(scenario)
    network, swarm = started.swarm.network, started.swarm
    share = rng.uniform(0.05, 0.9)

    def amid() -> bool:
        reductions = [p.driver.machine.member.reduction for p in swarm.current.values()]
        counts = [r.count for r in reductions if r is not None and r.record.number == 2]
        return any(share * of <= count for count, of in counts)

    assert network.run(until=100.0, stop=amid)
    if ill == "link":
        for a, b in rng.sample([(a, b) for a in swarm.current for b in swarm.current if a < b], 3):
            network.cut_link(a, b)
        network.schedule(40.0, network.heal)
    else:
        network.kill(f"peer-{LATE}")
    started.run()
    check(started)
    return started


def reduces(started: Started) -> list[RoundRecord]:
    """Every record of round 2's reduce."""
    return [r for r in records(started.swarm) if (r.number, r.phase) == (2, "reduce")]


@pytest.mark.parametrize("ill", ["link", "receiver", "contributor"])
@pytest.mark.parametrize("strategy", [fedavg(), fedavgm(), fedadam()], ids=lambda s: s.name)
def test_what_stays_of_an_epoch_makes_the_same_model(strategy: Strategy, ill: str) -> None:
    again = [record for seed in range(16) for record in reduces(interrupted(seed, strategy, ill)) if record.epoch > 1]
    kept = [record for record in again if record.kept]
    if ill == "contributor":  # a death may be taken for a broken link at first; then it is among the contributors still
        kept = [record for record in kept if sum(1 for m in record.members if m.samples) < PEERS]
    assert again
    assert bool(kept) == (ill != "contributor"), f"{len(kept)} of {len(again)} epochs kept something of the one before"

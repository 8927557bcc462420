"""I7: a member that lies is told of, and the round goes on without it."""

from __future__ import annotations

import pytest

from pyfl import events
from pyfl.aggregation import fedadam, fedavg
from pyfl.overlay.simulated.faults import FaultPlan
from pyfl.rounds.driver import Driver
from pyfl.simulation.invariants import check
from pyfl.simulation.ledger_log import committed
from pyfl.simulation.playing import Started, start
from pyfl.simulation.scenario import Scenario
from pyfl.tiers import chain, rotated, tree
from tests.simulation import hostile
from tests.simulation.hostile import HOSTILE

LIAR = 3


def run_with(liar: type[Driver], seed: int) -> Started:
    """Five peers, of which one lies and one joins late, with a restart, so that models are pulled from the liar too."""
    nothing: frozenset[int] = frozenset()
    scenario = Scenario(
        seed=seed, peers=6, late=(4.0,), strategy=(fedavg(), fedadam())[seed % 2], tiers=(rotated(2), tree(2), chain())[seed % 3],
        min_contributors=0, samples=(1, 2, 3, 4, 5, 6), bad_rounds=(nothing,) * 6, straggler=-1, loss=0.0,
        faults=FaultPlan.parse("at 6.0 wipe peer-2 after 1.0\nat 9.0 kill peer-4"), rounds=8, drivers={LIAR: liar},
    )  # fmt: skip
    return start(scenario).run()


def says(started: Started) -> list[str]:
    """What the honest peers say of it."""
    kinds = (events.FaultSeen, events.LinkAccused, events.PeerRemoved)
    return [
        str(event) for life in started.swarm.lives if started.swarm.index_of(life.overlay.me) != LIAR
        for _, event in life.seen if isinstance(event, kinds)
    ]  # fmt: skip


@pytest.mark.parametrize("liar", HOSTILE, ids=lambda c: c.__name__)
def test_the_rounds_go_on_whatever_a_member_says(liar: type[Driver]) -> None:
    for seed in range(3):
        started = run_with(liar, seed)
        check(started, hostile=frozenset({LIAR}))
        assert started.finished, f"I5: {[p.waits_for() for p in started.swarm.current.values() if p.overlay.alive]}"
        rounds = committed(started.swarm)
        assert max(rounds) == 8
        assert sum(record.void for record in rounds.values()) == 0, "a liar cannot make a round void"
        for number, record in rounds.items():
            honest = [p for p in record.contributors if started.swarm.index_of(p) != LIAR]
            assert len(honest) >= 2 or not number, f"round {number} was left to {record.contributors}"


def test_a_member_whose_partials_are_out_of_bounds_is_accused_avoided_and_removed() -> None:
    started = run_with(hostile.OutOfBounds, 0)
    told = says(started)
    liar = next(p for p in started.swarm.current if started.swarm.index_of(p) == LIAR)
    assert any("beyond what its" in line for line in told)
    assert any("links broke in one round" in line and liar in line for line in told)
    assert any(liar not in record.contributors for record in committed(started.swarm).values() if record.number)


@pytest.mark.parametrize(
    ("liar", "what"),
    [
        (hostile.WrongNumberOfTensors, "expected one of each"), (hostile.AbsurdExponents, "expected those of float32"),
        (hostile.EverySample, "expected 1 to 2^40"), (hostile.LessThanNoSamples, "expected 1 to 2^40"), (hostile.NoTime, "finite time"),
        (hostile.NoDigest, "a digest of 0 characters"), (hostile.Garbage, "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_message_is_told(liar: type[Driver], what: str) -> None:
    assert any(what in line for line in says(run_with(liar, 1)))

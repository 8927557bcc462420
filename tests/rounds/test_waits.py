"""Until when a peer waits: what a new coordinator knows of earlier rounds, what ends a wait, and how it is told."""

from __future__ import annotations

import msgspec
import pytest

from pyfl import events
from pyfl.aggregation import fedavg
from pyfl.narrator import Narrator
from pyfl.overlay import protocol as overlay
from pyfl.rounds.actions import Observe, Propose, Tick
from pyfl.rounds.coordinator import Coordinator
from pyfl.rounds.history import Committed, HistoryRecord
from pyfl.rounds.machine import Machine
from pyfl.rounds.messages import Report
from pyfl.rounds.records import Deadlines, RoundRecord, RunRecord
from pyfl.rounds.view import View
from pyfl.rounds.waits import first_of
from pyfl.tiers import parse
from tests.rounds.story import LAYOUT, NO_STATE, peer_id

ME = peer_id("a")
RUN = RunRecord(
    run="r", app="a", layout=LAYOUT, model="m0", state=NO_STATE, strategy=fedavg(), tiers=parse("direct"), rounds=9, min_peers=1,
    deadlines=Deadlines(),
)  # fmt: skip


def deadline_of_the_next_round(rounds: tuple[Committed, ...]) -> float:
    """Seconds that a peer which has just been elected gives the next training."""
    view = View(ME, leading=True, leader=ME, voters=(ME,), run=RUN, round=RoundRecord(3, 1, "committed", model="m3", state=NO_STATE))
    view.history = HistoryRecord(rounds)
    coordinator = Coordinator(view)
    coordinator.lead()
    coordinator.report(ME, Report(1, 3, 3, 1, 0))
    (action,) = coordinator.barrier_done(1, ok=True)
    assert isinstance(action, Propose)
    return msgspec.msgpack.decode(action.writes[0].value, type=RoundRecord).train_deadline_s


def committed(number: int, train_s: float, *, void: bool = False) -> Committed:
    return Committed(number, 1, f"m{number}", NO_STATE, (), void, train_s=train_s, reduce_s=1.0)


def test_a_new_coordinator_has_its_deadline_from_the_history() -> None:
    assert deadline_of_the_next_round((committed(1, 20.0), committed(2, 30.0), committed(3, 40.0))) == 60.0


def test_what_says_nothing_of_a_round_is_not_remembered() -> None:
    assert deadline_of_the_next_round((committed(0, 500.0), committed(1, 30.0), committed(2, 900.0, void=True))) == 60.0
    assert deadline_of_the_next_round(()) == RUN.deadlines.train_ceiling_s


def test_the_first_rule_ends_a_wait_and_one_whose_time_is_over_does_not() -> None:
    assert first_of("x", [(9.0, "late"), (4.0, "soon"), (-1.0, "over")]).then == "soon"
    assert first_of("x", [(-1.0, "over")]).until_s is None


@pytest.mark.parametrize("give_up_s", [0.0, 60.0])
def test_without_a_majority_the_wait_ends_when_the_peer_gives_up(give_up_s: float) -> None:
    machine = Machine(ME, 1, give_up_s=give_up_s)
    machine.step(overlay.LedgerLost(5000), 100.0)
    told = [a.event for now in range(101, 125) for a in machine.step(Tick(), float(now)) if isinstance(a, Observe)]
    waits = [event for event in told if isinstance(event, events.Waiting)]
    assert waits
    if not give_up_s:
        assert (waits[0].until_s, waits[0].then) == (None, "")
        return
    assert (waits[0].until_s, waits[0].then) == (49.0, "this peer ends with exit code 6")
    assert Narrator().sentence(waits[0]).endswith("; in 49 s this peer ends with exit code 6")

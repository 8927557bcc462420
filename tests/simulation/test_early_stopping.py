"""The swarm ends early by its metric: under faults, new coordinators and power cuts every peer comes to the same end."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from pyfl.overlay.simulated.faults import FaultPlan
from pyfl.rounds.drafts import committed_entry
from pyfl.rounds.early_stopping import EarlyStopping, enough, follow
from pyfl.rounds.records import CONTROL, ControlRecord
from pyfl.simulation import SimulatedSwarm
from pyfl.simulation.drawing import WIDE, draw
from pyfl.simulation.invariants import check
from pyfl.simulation.ledger_log import committed
from pyfl.simulation.playing import UNTIL_S, Started, start
from pyfl.simulation.probe import Probe
from pyfl.simulation.scenario import Scenario
from pyfl.training.trainer import Evaluation, Flat
from tests.simulation.test_membership import quiet, until, until_round

RULE = EarlyStopping("accuracy", patience=4, min_delta=0.05)
ROUNDS = 40


class Judged(Probe):
    """Its swarm's accuracy wavers with the model's values, up to 0.9; some rounds have none."""

    def evaluate(self, weights: Flat, share: tuple[int, int]) -> Evaluation | None:
        step = round(float(weights.sum()) * 1000)
        return None if step % 7 == 0 else Evaluation(100, 1.0, min(90, 30 + step % 61))


class JudgedRun(Scenario):
    """A drawn run with such trainers and the rule in its record."""

    def trainer(self, index: int) -> Probe:
        return Judged(index, self.samples[index], self.bad_rounds[index])


def judged(drawn: Scenario, **changes: object) -> Started:
    values = {name: getattr(drawn, name) for name in drawn.__dataclass_fields__}
    return start(JudgedRun(**{**values, "rounds": ROUNDS, "early_stopping": RULE, **changes}))  # type: ignore[arg-type]


def decided(swarm: SimulatedSwarm) -> tuple[int, str]:
    """The round after which the committed rounds alone say that it is enough, and why; (0, "") if they do not."""
    best = None
    for number, record in sorted(committed(swarm).items()):
        best = follow(best, committed_entry(record), RULE)
        why = enough(best, RULE)
        if why:
            return number, why
    return 0, ""


def told(swarm: SimulatedSwarm) -> list[ControlRecord]:
    """What the control record said at its ends."""
    written = [msgspec.msgpack.decode(value, type=ControlRecord) for _, key, _, value in swarm.network.committed_history if key == CONTROL]
    return [control for control in written if control.state == "finished"]


def check_end(started: Started) -> None:
    """Everybody who lived to the end left because of the metric, right after the round that decided it."""
    number, why = decided(started.swarm)
    assert 0 < number < ROUNDS, "the rule never decided; the test shows nothing"
    assert max(committed(started.swarm)) == number, "no round was opened after the one that decided"
    assert {control.why for control in told(started.swarm)} <= {why}
    exits = [life.driver.exit for life in started.swarm.current.values() if life.driver.exit is not None]
    assert exits
    for exit_ in exits:
        assert exit_.code == 0
        assert exit_.why == why or "the committee is gone" in exit_.why
    views = {life.driver.machine.view.history.best for life in started.swarm.current.values() if life.overlay.alive or life.driver.exit}
    (best,) = {best for best in views if best is not None and best.since >= RULE.patience}
    for life in started.swarm.current.values():
        kept = started.swarm.disk_of(life).best
        if life.driver.exit is not None and kept is not None:  # a simulated worker drops what it has not done when its peer leaves
            assert kept.model == committed(started.swarm)[kept.round].model
            assert kept.value <= best.value


@pytest.mark.parametrize("seed", range(16))
def test_under_faults_every_peer_comes_to_the_same_early_end(seed: int) -> None:
    drawn = draw(seed, WIDE)
    started = judged(drawn, wishes=tuple(wish for wish in drawn.wishes if "kick" not in wish[1])).run(UNTIL_S)
    check(started)
    if started.finished:
        check_end(started)


def test_a_new_coordinator_and_a_power_cut_of_everything_forget_neither_best_nor_patience() -> None:
    started = judged(replace(quiet(4).scenario, faults=FaultPlan(())))
    swarm = started.swarm
    until_round(started, 3, "committed")
    leader = next(peer for peer, life in swarm.current.items() if life.driver.machine.view.leading)
    swarm.network.kill(leader)
    until_round(started, 5, "train")
    swarm.network.restart(leader)
    until(started, lambda: any(
        (best := life.driver.machine.view.history.best) is not None and best.since == RULE.patience - 1 for life in swarm.current.values()
    ))  # fmt: skip
    for peer in list(swarm.current):
        swarm.network.kill(peer)
    for peer in list(swarm.current):
        swarm.network.restart(peer)
    started.run(swarm.network.now + UNTIL_S)
    assert started.finished
    check_end(started)


def test_every_peer_of_a_quiet_swarm_marks_the_best_round_on_its_disk() -> None:
    started = judged(quiet(4).scenario).run(UNTIL_S)
    check_end(started)
    number, _ = decided(started.swarm)
    marks = {(kept.round, kept.model) for life in started.swarm.current.values() if (kept := started.swarm.disk_of(life).best)}
    best = started.swarm.lives[0].driver.machine.view.history.best
    assert best is not None
    assert best.round < number, "there was time to mark it"
    assert marks == {(best.round, best.model)}

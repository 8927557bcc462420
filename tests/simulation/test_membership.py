"""I6 and the operator's words: joining late, coming back, leaving, pausing, being kicked, losing all power at once."""

from __future__ import annotations

from collections.abc import Callable

from pyfl import events
from pyfl.aggregation import fedadam
from pyfl.overlay.simulated.faults import FaultPlan
from pyfl.rounds.machine import REFUSED
from pyfl.rounds.records import ControlRecord
from pyfl.simulation import SimulatedSwarm
from pyfl.simulation.invariants import check
from pyfl.simulation.ledger_log import committed
from pyfl.simulation.playing import UNTIL_S, Started, start
from pyfl.simulation.scenario import Scenario
from pyfl.tiers import rotated


def quiet(peers: int, *, rounds: int = 8, late: int = 0, min_contributors: int = 0, stay: frozenset[int] = frozenset()) -> Started:
    """A swarm under FedAdam that nothing befalls by itself."""
    nothing: frozenset[int] = frozenset()
    drawn = Scenario(
        seed=7, peers=peers, late=(1e6,) * late, strategy=fedadam(), tiers=rotated(2), min_contributors=min_contributors,
        samples=(1, 2, 3, 4, 5, 6, 7, 8, 9)[:peers], bad_rounds=(nothing,) * peers, straggler=-1, loss=0.0, faults=FaultPlan(()),
        rounds=rounds, stay=stay,
    )  # fmt: skip
    return start(drawn)


def until(started: Started, condition: Callable[[], bool]) -> None:
    assert started.swarm.network.run(until=started.swarm.network.now + 100.0, stop=condition), "the moment never came"


def until_round(started: Started, number: int, phase: str) -> None:
    until(started, lambda: any(
        (r := p.driver.machine.view.round) is not None and (r.number, r.phase) == (number, phase)
        for p in started.swarm.current.values() if p.overlay.alive
    ))  # fmt: skip


def id_of(swarm: SimulatedSwarm, index: int) -> str:
    return next(p for p in swarm.current if swarm.index_of(p) == index)


def finish(started: Started) -> None:
    started.run(started.swarm.network.now + UNTIL_S)
    assert started.finished
    check(started)


def test_a_peer_that_joins_at_round_5_holds_weights_and_server_state_before_it_contributes() -> None:
    started = quiet(5, rounds=9, late=1)
    until_round(started, 5, "train")
    joiner = started.swarm.start_peer(4)
    finish(started)
    first = min(number for number, record in committed(started.swarm).items() if joiner.overlay.me in record.contributors)
    pulled = next(e for _, e in joiner.seen if isinstance(e, events.ModelInstalled) and e.how == "pulled")
    assert pulled.round >= 4
    assert first in (5, 6, 7), "one round may pass before the coordinator hears of it, and one more if fetching took longer than that round"
    assert len(joiner.states[pulled.round]) == 2
    assert joiner.states[pulled.round][1].any(), "FedAdam's second moment came along"


def test_a_peer_that_restarts_with_its_disk_resumes_from_its_checkpoint() -> None:
    started = quiet(4)
    until_round(started, 4, "train")
    again = started.swarm.network.restart(id_of(started.swarm, 2))
    finish(started)
    life = started.swarm.current[again.me]
    assert min(life.models) > 0, "it began from its checkpoint and not from model 0"
    assert again.me in committed(started.swarm)[8].contributors


def test_a_peer_that_lost_its_disk_fetches_the_model() -> None:
    started = quiet(4)
    until_round(started, 4, "train")
    again = started.swarm.network.restart(id_of(started.swarm, 2), keep_disk=False)
    finish(started)
    assert any(isinstance(e, events.ModelInstalled) and e.how == "pulled" for _, e in started.swarm.current[again.me].seen)


def test_all_power_is_lost_while_a_round_is_committed_and_nothing_is_forgotten() -> None:
    """I2: the ledger and the staged results are on the voters' disks before anything counts."""
    started = quiet(5)
    network = started.swarm.network
    until_round(started, 4, "committed")
    before = committed(started.swarm)[4]
    for peer in list(started.swarm.current):
        network.kill(peer)
    for peer in list(started.swarm.current):
        network.restart(peer)
    finish(started)
    after = committed(started.swarm)
    assert (after[4].model, after[4].state) == (before.model, before.state)
    assert after[5].base_model == before.model
    assert max(after) == 8


def test_a_peer_that_leaves_is_missed_by_nobody() -> None:
    started = quiet(4)
    until_round(started, 3, "reduce")
    gone = id_of(started.swarm, 3)
    started.swarm.network.leave(gone)
    finish(started)
    assert gone not in committed(started.swarm)[5].contributors


def test_a_pause_takes_effect_at_the_next_opening_and_everyone_says_so() -> None:
    started = quiet(4)
    swarm = started.swarm
    until_round(started, 3, "train")
    some = next(iter(swarm.current.values()))
    some.driver.control(ControlRecord(state="paused", by="ada"))
    until_round(started, 3, "committed")
    swarm.network.run(until=swarm.network.now + 60.0)
    assert max(committed(swarm)) == 3, "the round under way was committed, and none was opened after it"
    assert all("paused by ada" in peer.waits_for() for peer in swarm.current.values())
    some.driver.control(ControlRecord(state="running"))
    finish(started)
    assert max(committed(swarm)) == 8


def test_a_kicked_peer_leaves_with_the_reason_and_the_others_go_on() -> None:
    started = quiet(4)
    swarm = started.swarm
    until_round(started, 3, "train")
    kicked = id_of(swarm, 3)
    swarm.current[id_of(swarm, 1)].driver.control(ControlRecord(kicked=(kicked,), by="ada"))
    finish(started)
    exit_ = swarm.current[kicked].driver.exit
    assert exit_ is not None
    assert (exit_.code, "ada" in exit_.why) == (REFUSED, True)
    assert kicked not in committed(swarm)[8].contributors


def test_a_stop_ends_the_run_after_the_round_under_way() -> None:
    started = quiet(4)
    until_round(started, 3, "train")
    next(iter(started.swarm.current.values())).driver.control(ControlRecord(state="stopping", by="ada"))
    finish(started)
    assert max(committed(started.swarm)) == 3


def test_a_peer_that_was_away_when_the_run_ended_does_not_wait_for_ever() -> None:
    started = quiet(3, rounds=3)
    until_round(started, 3, "committed")
    network, away = started.swarm.network, id_of(started.swarm, 2)
    until(started, lambda: 3 in started.swarm.current[away].models)
    network.stop(away)
    network.run(until=network.now + 120.0)
    assert all(p.driver.exit is not None for peer, p in started.swarm.current.items() if peer != away)
    network.resume(away)
    finish(started)
    exit_ = started.swarm.current[away].driver.exit
    assert exit_ is not None
    assert exit_.code == 0


def test_peers_wait_and_say_so_while_an_explicit_minimum_cannot_be_met() -> None:
    started = quiet(4, min_contributors=4)
    swarm = started.swarm
    until_round(started, 3, "train")
    gone = id_of(swarm, 3)
    swarm.network.kill(gone)
    swarm.network.run(until=swarm.network.now + 200.0)
    assert max(committed(swarm)) == 2
    assert all(peer.waits_for() for peer in swarm.current.values() if peer.overlay.alive)
    swarm.network.restart(gone)
    finish(started)
    assert all(len(record.contributors) == 4 for number, record in committed(swarm).items() if number)

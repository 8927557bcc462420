"""Peers that were told to stay: after the run's end they remain members, lend the model to whoever comes, and go when told."""

from __future__ import annotations

import pytest

from pyfl import events
from pyfl.rounds.records import ControlRecord
from pyfl.simulation.ledger_log import committed
from pyfl.simulation.playing import Started
from tests.simulation.test_membership import finish, id_of, quiet, until

ROUNDS = 3
A_LONG_TIME_S = 600.0


def until_over(started: Started, who: frozenset[int]) -> None:
    """Until these peers have said that the run is over, and all the others have left."""
    swarm = started.swarm
    until(started, lambda: all(
        any(isinstance(e, events.RunFinished) for _, e in p.seen) if swarm.index_of(peer) in who else p.driver.exit is not None
        for peer, p in swarm.current.items()
    ))  # fmt: skip


@pytest.mark.parametrize("staying", [{0, 1, 2, 3}, {0}, {3}, {1, 2}], ids=str)
def test_those_who_stay_do_so_while_the_others_leave_and_wait_for_nobody(staying: set[int]) -> None:
    who = frozenset(staying)
    started = quiet(4, rounds=ROUNDS, stay=who)
    until_over(started, who)
    network = started.swarm.network
    network.run(until=network.now + A_LONG_TIME_S)
    for peer, life in started.swarm.current.items():
        here = life.driver.exit is None
        assert here == (started.swarm.index_of(peer) in who)
        assert [e for _, e in life.seen if isinstance(e, events.RunFinished)] == [events.RunFinished(ROUNDS)], "it is told once"
        if here:
            assert not life.waits_for()
            assert not [e for at, e in life.seen if isinstance(e, events.Waiting) and at > network.now - A_LONG_TIME_S / 2]


@pytest.mark.parametrize("staying", [{0, 1, 2, 3}, {1}], ids=str)
def test_whoever_comes_after_the_end_gets_the_last_model_and_ends_well(staying: set[int]) -> None:
    who = frozenset(staying)
    started = quiet(4, rounds=ROUNDS, stay=who, late=1)
    who = who - {3}  # not started yet
    until_over(started, who)
    network = started.swarm.network
    network.run(until=network.now + A_LONG_TIME_S)
    joiner = started.swarm.start_peer(3)
    if 3 in staying:
        until(started, lambda: ROUNDS in joiner.models)
        network.run(until=network.now + A_LONG_TIME_S)
        assert joiner.driver.exit is None
    else:
        until(started, lambda: joiner.driver.exit is not None)
        assert joiner.driver.exit is not None
        assert joiner.driver.exit.code == 0
    assert joiner.installed[ROUNDS] == committed(started.swarm)[ROUNDS].model
    assert all(started.swarm.current[id_of(started.swarm, index)].driver.exit is None for index in who)


def test_a_stop_long_after_the_end_ends_all_who_stayed() -> None:
    everyone = frozenset(range(4))
    started = quiet(4, rounds=ROUNDS, stay=everyone)
    until_over(started, everyone)
    network = started.swarm.network
    network.run(until=network.now + A_LONG_TIME_S)
    started.swarm.current[id_of(started.swarm, 2)].driver.control(ControlRecord(state="stopping", by="ada"))
    finish(started)
    exits = [life.driver.exit for life in started.swarm.current.values()]
    assert [(e.code, "stopped" in e.why) for e in exits if e] == [(0, True)] * 4


def test_a_stop_in_the_middle_of_the_run_ends_also_those_who_would_stay() -> None:
    started = quiet(4, rounds=50, stay=frozenset({0, 1}))
    until(started, lambda: len(committed(started.swarm)) > ROUNDS)
    started.swarm.current[id_of(started.swarm, 2)].driver.control(ControlRecord(state="stopping", by="ada"))
    finish(started)
    assert max(committed(started.swarm)) < 50


def test_a_whole_swarm_that_stayed_and_lost_power_comes_back_with_its_model() -> None:
    everyone = frozenset(range(3))
    started = quiet(3, rounds=ROUNDS, stay=everyone)
    until_over(started, everyone)
    network = started.swarm.network
    for peer in list(started.swarm.current):
        network.kill(peer)
    for peer in list(started.swarm.current):
        network.restart(peer)
    until_over(started, everyone)
    network.run(until=network.now + A_LONG_TIME_S)
    assert all(life.driver.exit is None and life.driver.machine.member.have.round == ROUNDS for life in started.swarm.current.values())

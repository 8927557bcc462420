"""Peers that are started one after another, each told of one earlier peer, find everybody and contribute."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyfl import events
from pyfl.overlay.free_port import free_ports
from tests.real.programs import Program, Programs, tell
from tests.real.swarms import story_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]

PEERS = 6


def rounds_seen(program: Program) -> dict[int, events.RoundCommitted]:
    """The rounds whose commit a peer saw."""
    return {e.data.round: e.data for e in program.said(events.RoundCommitted) if isinstance(e.data, events.RoundCommitted)}


def contributes_from_its_second_round_on(program: Program) -> bool:
    """Expected and counted in every round that was opened after it held a model, but for one opened before that was known.

    Returns whether there are two such rounds to see.
    """
    me = program.events[0].peer
    held = next((e.id for e in program.events if isinstance(e.data, events.ModelInstalled)), None)
    if held is None:
        return False
    opened = [e.data for e in program.events if isinstance(e.data, events.RoundOpened) and e.id > held]
    committed = rounds_seen(program)
    counted = 0
    for place, o in enumerate(o for o in opened if o.round in committed and o.round > 0):
        if place == 0 and me not in o.expected:
            continue
        assert me in committed[o.round].contributors, f"{program.name} held a model before round {o.round} and was not counted"
        counted += 1
    return counted >= 2


def start_chain(swarm: Programs, app: str, *more: str, rounds: int) -> None:
    """Six peers, each started when the one before has told something, each told of that one alone."""
    ports = free_ports(PEERS)
    for index, port in enumerate(ports):
        place = ["--index", str(index), "--of", str(PEERS)]
        if index == 0:
            program = swarm.start("127.0.0.1", str(port), "--app", app, "--rounds", str(rounds), "--min-peers", "2", *place, *more)
        else:
            program = swarm.start("127.0.0.1", str(port), f"127.0.0.1:{ports[index - 1]}", *place)
        swarm.until(lambda p=program: bool(p.events), 60.0, f"{program.name} tells something")


def everybody_knows_everybody(swarm: Programs) -> bool:
    return all(
        {e.data.peer for e in p.said(events.PeerJoined) if isinstance(e.data, events.PeerJoined)}
        == {q.events[0].peer for q in swarm.programs if q is not p}
        for p in swarm.programs
    )


@pytest.mark.parametrize("app", ["onehot:40KB,train_s=0.3", "linear:steps=4000"])
def test_each_joiner_is_found_by_all_and_contributes_from_the_round_after(tmp_path: Path, app: str) -> None:
    with Programs(tmp_path) as swarm:
        start_chain(swarm, app, rounds=100_000)
        swarm.until(lambda: everybody_knows_everybody(swarm), 60.0, "all know all")
        swarm.until(lambda: all(contributes_from_its_second_round_on(p) for p in swarm.programs), 60.0, "all contribute")
        first = [min(r for r, c in rounds_seen(p).items() if p.events[0].peer in c.contributors) for p in swarm.programs]
        assert first[-1] > first[0], "the run was going before the last one came"
        tell(tmp_path, next(tmp_path.glob("pyfl-data/*")), "stop")
        assert swarm.codes(60.0) == [0] * PEERS, swarm.logs()
        story = story_of(enumerate(swarm.programs))
        story.check_digests()
        last = max(story.committed)
        assert len(story.committed[last].contributors) == PEERS
        assert set(story.installed[last]) == set(range(PEERS)), "everybody leaves with the last model"


@pytest.mark.timeout(300)
def test_six_programs_learn_digits(tmp_path: Path) -> None:
    with Programs(tmp_path) as swarm:
        start_chain(swarm, "digits", rounds=100_000)
        swarm.until(lambda: all(contributes_from_its_second_round_on(p) for p in swarm.programs), 200.0, "all contribute")
        tell(tmp_path, next(tmp_path.glob("pyfl-data/*")), "stop")
        assert swarm.codes(60.0) == [0] * PEERS, swarm.logs()
        story = story_of(enumerate(swarm.programs))
        story.check_digests()
        last = story.committed[max(story.committed)]
        assert len(last.contributors) == PEERS
        assert last.accuracy is not None
        assert last.accuracy > 0.9

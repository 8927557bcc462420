"""Peers whose networks do not let them connect to each other, or whose addresses change: real processes in network namespaces."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyfl import events
from pyfl.chaos.namespaces import PORT, permitted
from pyfl.peer.swarm_key import write_secret
from tests.deploy.moving_machines import MovingMachines
from tests.real.programs import Program, Programs, tell
from tests.real.swarms import story_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

APP = "onehot:400KB,train_s=0.3"
FOR_EVER = "100000"


@pytest.fixture
def network() -> Iterator[MovingMachines]:
    if reason := permitted():
        pytest.skip(f"network namespaces: {reason}")
    with MovingMachines(4) as made:
        yield made


def start(swarm: Programs, network: MovingMachines, index: int, *more: str, port: int = PORT, name: str = "") -> Program:
    """The peer of a machine; machine 0's founds the swarm."""
    role = ["--app", APP, "--rounds", FOR_EVER, "--min-peers", "4"] if index == 0 else ["--join", network.address(0)]
    data = str(swarm.directory / f"peer-{index}")
    listen = ["--listen", f"0.0.0.0:{port}", "--name", f"peer-{index}", "--data-dir", data, "--index", str(index), "--of", "4"]
    return swarm.start(*listen, *role, *more, name=name, inside=network.inside(index))


def committed(program: Program) -> dict[int, tuple[str, ...]]:
    """Contributors by round, as a peer saw them committed."""
    return {e.data.round: e.data.contributors for e in program.said(events.RoundCommitted) if isinstance(e.data, events.RoundCommitted)}


def last(program: Program) -> int:
    return max(committed(program), default=-1)


def together(program: Program, peers: int, since: int) -> int:
    """How many rounds after `since` a peer saw committed that everybody contributed to."""
    return sum(1 for number, who in committed(program).items() if number > since and len(who) == peers)


def routes(program: Program) -> list[tuple[str, str]]:
    return [(e.data.peer, e.data.via) for e in program.said(events.LinkRouted) if isinstance(e.data, events.LinkRouted)]


def begin(swarm: Programs, network: MovingMachines) -> list[str]:
    """Four peers that have made a round together; returns their ids."""
    write_secret(swarm.directory / "swarm.key", "7" * 64)
    founder = start(swarm, network, 0)
    swarm.until(lambda: bool(founder.events), 60.0, "the founder tells something")
    for index in (1, 2, 3):
        start(swarm, network, index)
    swarm.until(lambda: all(together(p, 4, 0) >= 1 for p in swarm.programs), 90.0, "a round of all four")
    return [program.events[0].peer for program in swarm.programs]


def end(swarm: Programs) -> None:
    for program in swarm.programs:
        program.signal(signal.SIGTERM)


@pytest.mark.parametrize("pair", [(0, 1), (2, 3)], ids=["with-the-founder", "of-two-joiners"])
def test_two_that_cannot_reach_each_other_go_on_contributing(tmp_path: Path, network: MovingMachines, pair: tuple[int, int]) -> None:
    with Programs(tmp_path) as swarm:
        ids = begin(swarm, network)
        one, other = (swarm.programs[i] for i in pair)
        before = last(one)
        for source, target in (pair, pair[::-1]):
            network.cut(source, target)
        swarm.until(lambda: bool(routes(one)) and bool(routes(other)), 60.0, "both go around")
        (towards, via), *_ = routes(one)
        assert towards == ids[pair[1]]
        assert via in set(ids) - {ids[i] for i in pair}
        since = last(one)
        swarm.until(lambda: all(together(p, 4, since) >= 3 for p in swarm.programs), 90.0, f"three rounds of all four after {before}")
        [entry] = [
            e for e in map(json.loads, tell(tmp_path, tmp_path / f"peer-{pair[0]}", "peers", "--json").splitlines())
            if e.get("peer") == ids[pair[1]]
        ]  # fmt: skip
        assert entry["via"] in ids
        network.heal()
        swarm.until(lambda: routes(one)[-1] == (ids[pair[1]], "") and routes(other)[-1][1] == "", 90.0, "both connect again")
        since = last(one)
        swarm.until(lambda: all(together(p, 4, since) >= 2 for p in swarm.programs), 60.0, "rounds go on")
        for program in (one, other):
            gone = [e.data for e in program.said(events.PeerLeft)]
            assert not gone, f"{program.name} took a living peer for gone: {gone}"
        story_of(enumerate(swarm.programs)).check_digests()
        end(swarm)


@pytest.mark.parametrize("mover", [0, 3], ids=["the-founder", "a-joiner"])
def test_a_peer_whose_address_changes_contributes_again(tmp_path: Path, network: MovingMachines, mover: int) -> None:
    with Programs(tmp_path) as swarm:
        begin(swarm, network)
        network.move(mover)
        since = last(swarm.programs[mover])
        swarm.until(lambda: all(together(p, 4, since + 1) >= 3 for p in swarm.programs), 90.0, "three rounds of all four")
        status = json.loads(tell(tmp_path, tmp_path / f"peer-{mover}", "status", "--json"))
        assert status["address"] == network.address(mover), "it says where it is now"
        story_of(enumerate(swarm.programs)).check_digests()
        end(swarm)


@pytest.mark.parametrize("mover", [1, 3])
def test_a_peer_that_restarts_at_another_address_contributes_again(tmp_path: Path, network: MovingMachines, mover: int) -> None:
    with Programs(tmp_path) as swarm:
        ids = begin(swarm, network)
        swarm.programs[mover].signal(signal.SIGKILL)
        network.move(mover)
        again = start(swarm, network, mover, port=7799, name=f"peer-{mover}-again")
        swarm.until(lambda: together(again, 4, 0) >= 3, 120.0, "three rounds of all four")
        assert again.events[0].peer == ids[mover]
        live = [p for i, p in enumerate(swarm.programs) if i != mover]
        swarm.until(lambda: all(together(p, 4, last(again) - 1) >= 1 for p in live), 60.0, "all see them")
        story_of(enumerate(swarm.programs)).check_digests()
        end(swarm)

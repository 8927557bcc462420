"""Watching a swarm through one of its peers: what is known at the start, what is seen to happen, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from pyfl import events
from pyfl.cli.attached import Attached
from pyfl.cli.live_view import PHASES
from pyfl.events import Stamped
from pyfl.overlay.free_port import free_ports
from pyfl.peer.status import PeerEntry, Status
from pyfl.serving import serve
from pyfl.serving.server import ApiServer
from tests.cli.command_line import command_line, pyfl
from tests.real.programs import Programs, environment
from tests.serving.fake_peer import ME, OTHER, FakePeer

PEER = FakePeer()


def attached() -> Attached:
    swarm = Attached(began=0.0)
    swarm.remember(PEER.rounds())
    swarm.look(PEER.status(), PEER.peers())
    return swarm


def tell(swarm: Attached, event: events.ObservedEvent) -> events.RoundCommitted | None:
    return swarm.apply(Stamped(1, 1.0, 1.0, ME, event))


def commit(number: int) -> events.RoundCommitted:
    return events.RoundCommitted(number, 1, (ME, OTHER), "f" * 64, False, 0.9, 0.5, 1.0, 1.0)


def test_the_first_look_knows_peers_rounds_and_who_coordinates() -> None:
    model = attached().model
    assert [line.name for line in model.lines] == list(model.names) == ["otter", "heron"]
    assert [line.phase for line in model.lines] == ["training", "training"]
    assert [line.digest for line in model.lines] == ["d" * 64, "d" * 64]
    assert (model.coordinator, model.round, model.epoch, model.rounds) == (OTHER, 4, 2, 10)
    assert model.accuracies() == [0.875]


@pytest.mark.parametrize("phase", ["training", "reducing", "holding", "waiting", "joining", "suspected", ""])
def test_every_phase_of_a_peer_can_be_drawn(phase: str) -> None:
    swarm = attached()
    swarm.look(PEER.status(), [PeerEntry(ME, "otter", "a:1", me=True, phase=phase), PeerEntry(OTHER, "heron", "b:1", phase=phase)])
    assert {line.phase for line in swarm.model.lines} <= PHASES.keys()


def test_the_peers_own_events_tell_more_than_a_look() -> None:
    swarm = attached()
    tell(swarm, events.TrainingEnded(4, 240, 0.5, 1.0, True))
    tell(swarm, events.TrainingStarted(5, 1))
    tell(swarm, events.TrainingEnded(5, 250, 0.5, 1.0, True))
    swarm.look(PEER.status(), PEER.peers())
    assert (swarm.model.lines[0].phase, swarm.model.lines[0].samples) == ("trained", 250)
    assert swarm.model.lines[1].phase == "training"
    assert swarm.model.round == 5, "an older status takes nothing back"


def test_peers_come_and_go() -> None:
    swarm = attached()
    third = PeerEntry("c" * 32, "lynx", "127.0.0.1:7702")
    assert swarm.look(PEER.status(), [*PEER.peers(), third])
    assert not swarm.look(PEER.status(), [third, *PEER.peers()])
    assert swarm.model.lines[0].name == "otter"
    assert swarm.look(PEER.status(), PEER.peers()[:1])
    assert swarm.model.names == ["otter"]


def test_what_it_waits_for_is_told_by_name() -> None:
    swarm = attached()
    swarm.look(msgspec.structs.replace(PEER.status(), waiting=f"round 5 to be opened by {OTHER}"), PEER.peers())
    assert swarm.model.lines[0].note == "waits for round 5 to be opened by heron"


def test_a_run_is_over_with_its_last_round_or_when_the_peer_says_so() -> None:
    swarm = attached()
    assert tell(swarm, commit(3)) is None, "it was known"
    assert tell(swarm, commit(9)) is not None
    assert not swarm.over()
    tell(swarm, commit(10))
    assert swarm.over()
    stopped = attached()
    tell(stopped, events.RunFinished(5))
    assert stopped.over()
    assert stopped.finished
    told: Status = msgspec.structs.replace(PEER.status(), control="finished")
    late = attached()
    late.look(told, PEER.peers())
    assert late.over()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[FakePeer, ApiServer]]:
    peer = FakePeer()
    server = serve(peer, tmp_path / "pyfl-data" / "127.0.0.1-7700" / "http.sock")
    yield peer, server
    server.stop()


def meanwhile(peer: FakePeer, act: Callable[[], object]) -> threading.Thread:
    """Act when somebody follows the peer's events."""

    def wait_and_act() -> None:
        assert peer.followed.wait(60.0)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


@pytest.mark.real
def test_lines_on_a_pipe_end_with_the_run(tmp_path: Path, running: tuple[FakePeer, ApiServer]) -> None:
    peer, _ = running
    peer.tell(events.Waiting("of long ago"))

    def end() -> None:
        for event in (events.PeerLeft(OTHER, "refused"), commit(4), events.RunFinished(4)):
            peer.tell(event)

    thread = meanwhile(peer, end)
    ended = pyfl("watch", cwd=tmp_path)
    thread.join()
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == "2 peers learn digits: otter, heron"
    assert lines[1].startswith("round   3  accuracy 0.8750  2 contributors  dddddddd")
    assert lines[2] == "heron died"
    assert lines[3].startswith("round   4  accuracy 0.9000")
    assert lines[-1] == "the run is over: round 4 of 10, accuracy 0.9000"
    assert "long ago" not in ended.stdout
    assert "\x1b" not in ended.stdout


@pytest.mark.real
def test_json_begins_with_the_swarm_and_ends_with_a_summary(tmp_path: Path, running: tuple[FakePeer, ApiServer]) -> None:
    peer, _ = running
    thread = meanwhile(peer, lambda: (peer.tell(commit(4)), peer.tell(events.RunFinished(4))))
    ended = pyfl("watch", "--json", cwd=tmp_path)
    thread.join()
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [line["event"] for line in told] == ["swarm", "round_committed", "run_finished", "summary"]
    assert msgspec.convert(told[0]["status"], Status) == peer.status()
    assert told[-1] == {"event": "summary", "run_over": True, "rounds": 2, "of": 10, "accuracy": 0.9}
    assert ended.stderr == ""


@pytest.mark.real
def test_a_peer_that_ends_before_the_run_is_exit_1(tmp_path: Path, running: tuple[FakePeer, ApiServer]) -> None:
    peer, server = running
    thread = meanwhile(peer, server.stop)
    ended = pyfl("watch", cwd=tmp_path)
    thread.join()
    assert ended.returncode == 1
    assert "ended before the run did" in ended.stderr
    assert ended.stdout.splitlines()[-1].startswith("the run goes on: round 3 of 10")
    assert pyfl("watch", cwd=tmp_path).returncode == 1


@pytest.mark.real
def test_a_terminal_gets_a_live_view(tmp_path: Path, running: tuple[FakePeer, ApiServer]) -> None:
    peer, _ = running
    thread = meanwhile(peer, lambda: peer.tell(events.RunFinished(4)))
    ours, theirs = pty.openpty()
    shown = bytearray()
    env = environment(COLUMNS="80", LINES="24", TERM="xterm", NO_COLOR="1")
    with subprocess.Popen(command_line("watch"), cwd=tmp_path, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # Linux's way of saying that the other side is closed
                break
            if not chunk:
                break
            shown += chunk
        assert process.wait(60) == 0
    os.close(ours)
    thread.join()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    for words in ("2 peers learn digits", "coordinator heron", "otter", "training", "the run is over: round 3 of 10"):
        assert words in text


@pytest.mark.real
@pytest.mark.timeout(150)
def test_a_real_swarm_is_watched_to_its_end(tmp_path: Path) -> None:
    first, second = free_ports(2)
    with Programs(tmp_path) as swarm:
        founder = swarm.start("127.0.0.1", str(first), "--app", "linear", "--rounds", "40", "--min-peers", "2", "--name", "otter")
        swarm.until(lambda: bool(founder.events), 60.0, "the founder tells something")
        watching = subprocess.Popen(
            command_line("watch", "--data-dir", f"pyfl-data/127.0.0.1-{first}"), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        with watching:
            assert watching.stdout is not None
            assert watching.stdout.readline().startswith("1 peer"), "it watches before the second peer comes"
            swarm.start("127.0.0.1", str(second), f"127.0.0.1:{first}", "--name", "heron")
            assert swarm.codes(90.0) == [0, 0], swarm.logs()
            lines = watching.stdout.read().splitlines()
        assert watching.returncode == 0
        assert f"heron joined from 127.0.0.1:{second}" in lines
        assert lines[-1].startswith("the run is over: round 40 of 40")

"""The doctor finds what is broken, says what to do, and changes nothing by looking."""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pyfl import events
from pyfl.cli import doctor_machine, doctor_swarm
from pyfl.cli.finding import Finding
from pyfl.errors import ApiError
from pyfl.overlay.config import OverlayConfig
from pyfl.overlay.free_port import free_ports
from pyfl.peer.join_token import JoinToken
from pyfl.peer.status import Status
from pyfl.peer.swarm_key import write_secret
from pyfl.serving import serve
from tests.cli.command_line import pyfl
from tests.real.programs import Programs
from tests.serving.fake_peer import OTHER, FakePeer

KEY = "0123456789abcdef" * 4


def levels(found: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.level for finding in found}


def test_whatever_is_not_ok_comes_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "swarm.key").write_text("no key")
    found = [
        *doctor_machine.data_directory(tmp_path / "file" / "below"),
        *doctor_swarm.swarm_key(str(tmp_path / "swarm.key"), tmp_path, "", founds=True)[1],
        *doctor_swarm.reach(("nowhere", "127.0.0.1:1"), KEY),
        doctor_machine.port("0.0.0.0:70000", False),
        doctor_machine.clock(doctor_machine.clock_offset() - 60, "a minute ago"),
    ]
    assert [finding.level for finding in found] == ["fail", "fail", "fail", "fail", "fail", "warn"]
    assert all(finding.advice for finding in found)


def test_a_library_that_is_missing_or_a_python_that_is_too_new_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(levels(doctor_machine.versions())) == {"python", "pyfl"}
    monkeypatch.setattr(doctor_machine, "NEEDED", (*doctor_machine.NEEDED, "no-such-library"))
    monkeypatch.setattr(doctor_machine, "PYTHONS", ((2, 6), (2, 7)))
    found = doctor_machine.versions()
    assert levels(found) == {"python": "fail", "pyfl": "ok", "libraries": "fail"}
    assert "no-such-library" in found[-1].found


def test_a_clock_that_was_set_back_is_told_and_one_that_runs_is_not() -> None:
    assert doctor_machine.clock(doctor_machine.clock_offset(), "now").level == "ok"
    moved = doctor_machine.clock(doctor_machine.clock_offset() + 3600, "then")
    assert moved.level == "warn"
    assert "moved by -3600.0 s since then" in moved.found


def test_a_port_in_use_is_told_with_who_has_it_unless_it_is_our_peers() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        taken = doctor_machine.port(address, ours=False)
        assert (taken.level, "End it, or choose another port." in taken.advice) == ("fail", True)
        assert doctor_machine.port(address, ours=True).level == "ok"
    assert doctor_machine.port(address, ours=False).level == "ok"
    assert "no such address" in doctor_machine.port("192.0.2.1:7700", ours=False).advice
    assert doctor_machine.port("127.0.0.1:0", ours=False).level == "ok"


def test_a_data_directory_is_looked_at_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a" / "b"
    assert set(levels(doctor_machine.data_directory(place)).values()) == {"ok"}
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(doctor_machine, "LITTLE_BYTES", 1 << 62)
    assert levels(doctor_machine.data_directory(place))["disk"] == "warn"
    monkeypatch.setattr(doctor_machine, "TOO_LITTLE_BYTES", 1 << 61)
    assert levels(doctor_machine.data_directory(place))["disk"] == "fail"


def test_a_key_that_others_can_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "swarm.key"
    write_secret(path, KEY)
    assert doctor_swarm.swarm_key("", tmp_path, "", founds=False) == (KEY, [Finding("swarm key", "ok", "readable and well-formed")])
    path.chmod(0o644)
    [_, warning] = doctor_swarm.swarm_key("", tmp_path, "", founds=False)[1]
    assert (warning.level, warning.advice) == ("warn", f"chmod 600 {path}")


def test_only_a_joiner_needs_a_key_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctor_swarm.swarm_key("", tmp_path, "", founds=True)[1][0].level == "ok"
    assert doctor_swarm.swarm_key("", tmp_path, "", founds=False)[1][0].level == "fail"
    assert doctor_swarm.swarm_key("", tmp_path, KEY, founds=False)[0] == KEY
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real
def test_an_identity_is_checked_and_never_made_or_replaced(tmp_path: Path) -> None:
    from pyfl.overlay.real import RealOverlay

    assert doctor_swarm.identity(tmp_path, KEY)[0].level == "ok"
    path = tmp_path / "identity.key"
    assert not path.exists()
    with RealOverlay(OverlayConfig(listen="127.0.0.1:0", swarm_key=KEY, identity_file=str(path))) as net:
        assert doctor_swarm.identity(tmp_path, KEY)[0].found == f"peer {net.me}"
    path.write_text("half a ke")
    [broken] = doctor_swarm.identity(tmp_path, KEY)
    assert broken.level == "fail"
    assert "no PEM block" in broken.found
    assert path.read_text() == "half a ke"


class Waits(FakePeer):
    def status(self) -> Status:
        return msgspec.structs.replace(super().status(), waiting=f"round 5 to be opened by {OTHER}")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[FakePeer]:
    peer = Waits()
    server = serve(peer, tmp_path / "pyfl-data" / "127.0.0.1-7700" / "http.sock")
    yield peer
    server.stop()


@pytest.mark.real
def test_a_running_peers_waiting_is_told_and_its_port_is_its_own(tmp_path: Path, running: FakePeer) -> None:
    running.tell(events.TrainingStarted(4, 2))
    ended = pyfl("doctor", "--listen", "127.0.0.1:7700", cwd=tmp_path, PYFL_SWARM_KEY=KEY)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for words in (
        "otter runs: round 4 of 10",
        "it waits for round 5 to be opened by heron",
        "is the running peer's",
        "since the peer's event 1",
    ):
        assert words in ended.stdout
    assert "\x1b" not in ended.stdout


@pytest.mark.real
def test_a_peer_that_does_not_answer_fails(tmp_path: Path, running: FakePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_: object) -> Status:
        raise ApiError("The peer did not answer within 10 s.")

    monkeypatch.setattr("pyfl.serving.client.PeerClient.status", silent)
    assert doctor_swarm.running_peer(tmp_path / "pyfl-data" / "127.0.0.1-7700")[1][0].level == "fail"


@pytest.mark.real
def test_the_exit_code_and_the_lines_say_the_same(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    for more, code in (((), 0), (("--join", f"127.0.0.1:{port}"), 1), (("--join", "pyfl-damaged"), 1)):
        ended = pyfl("doctor", "--listen", "127.0.0.1:0", *more, "--json", cwd=tmp_path)
        told = [json.loads(line) for line in ended.stdout.splitlines()]
        assert all(set(line) == {"check", "level", "found", "advice"} for line in told)
        assert any(line["level"] == "fail" for line in told) == bool(code)
        assert ended.returncode == code
    assert os.listdir(tmp_path) == [], "looking makes nothing"


@pytest.mark.real
@pytest.mark.timeout(150)
def test_the_way_to_a_swarm_is_tried_with_its_key_and_the_swarm_does_not_mind(tmp_path: Path) -> None:
    first, second = free_ports(2)
    write_secret(tmp_path / "swarm.key", KEY)
    with Programs(tmp_path) as swarm:
        founder = swarm.start("127.0.0.1", str(first), "--app", "onehot:40KB,train_s=0.1", "--rounds", "100000", "--min-peers", "2")
        swarm.until(lambda: bool(founder.events), 60.0, "the founder tells something")
        swarm.start("127.0.0.1", str(second), f"127.0.0.1:{first}")
        swarm.until(lambda: len(founder.said(events.RoundCommitted)) > 2, 60.0, "rounds are committed")
        address = f"127.0.0.1:{first}"
        token = JoinToken((address,), KEY).encode()
        (tmp_path / "elsewhere").mkdir()
        for more, level, words in (
            (("--join", address, "--swarm-key", "../swarm.key"), "ok", "the swarm lets this key in"),
            (("--join", token), "ok", "the swarm lets this key in"),
            (("--join", address), "fail", "Use that swarm's key"),
        ):
            other = {} if "--swarm-key" in more or token in more else {"PYFL_SWARM_KEY": secrets.token_hex(32)}
            ended = pyfl("doctor", "--listen", "127.0.0.1:0", *more, "--json", cwd=tmp_path / "elsewhere", **other)
            [line] = [line for line in map(json.loads, ended.stdout.splitlines()) if line["check"] == f"reach {address}"]
            assert line["level"] == level, line
            assert words in line["found"] + line["advice"]
            assert ended.returncode == (level == "fail")
        told = len(founder.said(events.RoundCommitted))
        swarm.until(lambda: len(founder.said(events.RoundCommitted)) > told + 5, 60.0, "the rounds go on")
        members = {program.events[0].peer for program in swarm.programs}
        opened = [event.data for event in founder.said(events.RoundOpened)]
        assert all(set(event.expected) <= members for event in opened if isinstance(event, events.RoundOpened))

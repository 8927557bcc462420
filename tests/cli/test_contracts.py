"""What scripts rely on: exit codes, what goes where, and that nothing heavy is imported before a command runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pyfl.events import Stamped, Waiting
from pyfl.peer.status import PeerEntry, RoundEntry, Status
from pyfl.serving import serve
from tests.cli.command_line import pyfl
from tests.serving.fake_peer import FakePeer

pytestmark = pytest.mark.real

HEAVY = ("numpy", "tensorflow", "keras", "sklearn", "fastapi", "uvicorn", "httpx", "msgspec", "pydantic", "pyfl.overlay")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[FakePeer]:
    peer = FakePeer()
    server = serve(peer, tmp_path / "pyfl-data" / "127.0.0.1-7700" / "http.sock")
    yield peer
    server.stop()


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = f"import sys, pyfl.cli.program; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "[]"
    shown = pyfl("--help", cwd=tmp_path)
    assert shown.returncode == 0
    for command in ("demo", "peer", "status", "peers", "rounds", "events", "bench", "pause", "kick"):
        assert command in shown.stdout


@pytest.mark.parametrize("arguments", [("statos",), ("peer", "127.0.0.1"), ("peer", "127.0.0.1", "99999"), ("demo", "--peers", "1")])
def test_a_usage_error_is_exit_2_on_stderr(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = pyfl(*arguments, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Usage: pyfl" in ended.stderr


def test_a_wrong_setting_is_exit_5_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "pyfl.toml").write_text("min-peer = 3\n")
    ended = pyfl("peer", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (5, "")
    assert ended.stderr.startswith("error: pyfl.toml has an unknown key 'min-peer'. Did you mean 'min_peers'?")
    assert ended.stderr.count("\n") == 1


def test_without_a_peer_a_command_says_where_it_looked(tmp_path: Path) -> None:
    ended = pyfl("status", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "no peer's data directory below ./pyfl-data" in ended.stderr
    (tmp_path / "quiet").mkdir()
    ended = pyfl("status", "--data-dir", "quiet", cwd=tmp_path)
    assert ended.returncode == 1
    assert "No peer is running in quiet" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_two_peers_are_listed_and_not_guessed_between(tmp_path: Path, running: FakePeer) -> None:
    other = serve(FakePeer(), tmp_path / "pyfl-data" / "127.0.0.1-7701" / "http.sock")
    try:
        ended = pyfl("status", cwd=tmp_path)
    finally:
        other.stop()
    assert ended.returncode == 1
    assert "--data-dir pyfl-data/127.0.0.1-7700" in ended.stderr
    assert "--data-dir pyfl-data/127.0.0.1-7701" in ended.stderr


def test_json_is_what_the_api_says_and_nothing_else(tmp_path: Path, running: FakePeer) -> None:
    told = [running.tell(Waiting("for heron")), running.tell(Waiting("for lynx"))]
    status = pyfl("status", "--json", cwd=tmp_path)
    assert msgspec.json.decode(status.stdout, type=Status) == running.status()
    assert status.stderr == ""
    for command, kind, expected in (
        ("peers", PeerEntry, running.peers()), ("rounds", RoundEntry, running.rounds()), ("events", Stamped, told)
    ):  # fmt: skip
        lines = pyfl(command, "--json", cwd=tmp_path).stdout.splitlines()
        assert [msgspec.json.decode(line, type=kind) for line in lines] == expected


def test_people_get_words_without_colour_on_a_pipe(tmp_path: Path, running: FakePeer) -> None:
    shown = "".join(pyfl(command, cwd=tmp_path).stdout for command in ("status", "peers", "rounds"))
    for words in ("round       4 of 10, epoch 2, running", "accuracy    0.8750", "coordinator heron", "127.0.0.1:7701", "this one, votes"):
        assert words in shown
    assert "\x1b" not in shown


def test_commands_are_asked_of_the_peer(tmp_path: Path, running: FakePeer) -> None:
    assert pyfl("pause", cwd=tmp_path).stdout == "pause it is.\n"
    assert pyfl("kick", "heron", cwd=tmp_path).returncode == 0
    assert running.controlled == [("pause", ""), ("kick", "heron")]


def test_an_ended_peers_events_can_be_read_up_to_where_it_was_cut_off(tmp_path: Path) -> None:
    event = Stamped(7, 0.0, 0.0, "a" * 32, Waiting("for heron"))
    (tmp_path / "events.jsonl").write_bytes(msgspec.json.encode(event) + b'\n{"id": 8, "ti')
    ended = pyfl("events", "--data-dir", ".", "--json", cwd=tmp_path)
    assert [json.loads(line)["id"] for line in ended.stdout.splitlines()] == [7]
    assert ended.returncode == 0


def test_the_original_form_takes_the_same_options() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "pyfl.peer", "--help"], capture_output=True, text=True, timeout=60, check=True,
        env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip
    assert "python -m pyfl.peer [OPTIONS] [SELF_IP] [PORT] [BOOTSTRAP_IP:PORT]..." in shown.stdout
    for option in ("--listen", "--join", "--app", "--rounds", "--swarm-key", "--min-peers", "--durability", "--label"):
        assert option in shown.stdout

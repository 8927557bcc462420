"""From `pyfl init` to a peer that joins by a token: what is made, what is kept, and where the key shows."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyfl import events
from pyfl.cli.init import SETTINGS_TO_BEGIN_WITH
from pyfl.cli.settings import peer_settings
from pyfl.cli.token import reachable
from pyfl.errors import ConfigError
from pyfl.overlay.free_port import free_ports
from pyfl.peer.join_token import JoinToken
from pyfl.peer.settings import PeerSettings
from pyfl.serving import serve
from tests.cli.command_line import pyfl
from tests.real.programs import Programs, run_to_end
from tests.serving.fake_peer import FakePeer

pytestmark = pytest.mark.real
KEY = "0123456789abcdef" * 4


@pytest.fixture
def running(tmp_path: Path) -> Iterator[FakePeer]:
    peer = FakePeer()
    server = serve(peer, tmp_path / "pyfl-data" / "127.0.0.1-7700" / "http.sock")
    yield peer
    server.stop()


def test_init_makes_a_key_for_its_owner_alone_and_says_what_is_next(tmp_path: Path) -> None:
    ended = pyfl("init", "swarm", cwd=tmp_path)
    key = tmp_path / "swarm/swarm.key"
    assert ended.returncode == 0, ended.stderr
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(key.read_text())) == 32
    assert key.read_text().strip() not in ended.stdout
    for command in ("cd swarm && pyfl peer", "pyfl token", "pyfl peer --join TOKEN"):
        assert command in ended.stdout
    assert sorted(path.name for path in (tmp_path / "swarm").iterdir()) == ["pyfl.toml", "swarm.key"]


def test_init_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "swarm.key").write_text(KEY)
    (tmp_path / "pyfl.toml").write_text("rounds = 7\n")
    ended = pyfl("init", cwd=tmp_path)
    assert ended.returncode == 0
    assert "swarm.key: was there already and is kept" in ended.stdout
    assert json.loads(pyfl("init", "--json", cwd=tmp_path).stdout) == {"made": [], "kept": ["swarm.key", "pyfl.toml"]}
    assert (tmp_path / "swarm.key").read_text() == KEY
    assert (tmp_path / "pyfl.toml").read_text() == "rounds = 7\n"
    (tmp_path / "swarm.key").write_text("half a ke")
    ended = pyfl("init", cwd=tmp_path)
    assert ended.returncode == 5
    assert "has 9 characters; expected 64" in ended.stderr


def test_the_settings_to_begin_with_change_nothing_and_can_be_used_when_uncommented(tmp_path: Path) -> None:
    path = tmp_path / "pyfl.toml"
    path.write_text(SETTINGS_TO_BEGIN_WITH)
    assert peer_settings({}, {}, path) == PeerSettings()
    path.write_text("\n".join(line.removeprefix("# ") for line in SETTINGS_TO_BEGIN_WITH.splitlines() if " = " in line))
    assert len(tomllib.loads(path.read_text())) == 11
    assert peer_settings({}, {}, path).labels == {"site": "oslo"}


def test_a_token_is_one_line_and_the_warning_is_not_in_it(tmp_path: Path) -> None:
    (tmp_path / "swarm.key").write_text(KEY)
    ended = pyfl("token", "--address", "10.0.0.4:7700", "--address", "10.0.0.5:7700", cwd=tmp_path)
    assert ended.stdout.count("\n") == 1
    assert JoinToken.decode(ended.stdout) == JoinToken(("10.0.0.4:7700", "10.0.0.5:7700"), KEY)
    assert "holds the swarm's key" in ended.stderr
    told = json.loads(pyfl("token", "--address", "10.0.0.4:7700", "--json", cwd=tmp_path).stdout)
    assert JoinToken.decode(told["token"]).addresses == tuple(told["addresses"]) == ("10.0.0.4:7700",)


def test_a_token_leads_to_the_peer_that_runs_here(tmp_path: Path, running: FakePeer) -> None:
    ended = pyfl("token", cwd=tmp_path, PYFL_SWARM_KEY=KEY)
    assert JoinToken.decode(ended.stdout) == JoinToken((running.status().address,), KEY)
    assert "on another machine it leads nowhere" in ended.stderr
    ended = pyfl("token", cwd=tmp_path, PYFL_SWARM_KEY=KEY, PYFL_ADVERTISE="10.0.0.4:7700")
    assert JoinToken.decode(ended.stdout).addresses == ("10.0.0.4:7700",)
    assert "leads nowhere" not in ended.stderr


@pytest.mark.parametrize("address", ["0.0.0.0:7700", "[::]:7700"])
def test_every_address_of_a_machine_is_none_that_others_can_dial(address: str) -> None:
    with pytest.raises(ConfigError, match="pyfl token --address HOST:7700"):
        reachable(address)
    assert reachable("10.0.0.4:7700") == "10.0.0.4:7700"


def test_without_an_address_or_a_key_there_is_no_token(tmp_path: Path) -> None:
    ended = pyfl("token", cwd=tmp_path, PYFL_SWARM_KEY=KEY)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "pyfl token --address HOST:PORT" in ended.stderr
    ended = pyfl("token", "--address", "10.0.0.4:7700", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (5, "")
    assert "No swarm key" in ended.stderr
    ended = pyfl("token", "--address", "10.0.0.4", cwd=tmp_path, PYFL_SWARM_KEY=KEY)
    assert (ended.returncode, ended.stdout) == (5, "")
    assert "expected HOST:PORT" in ended.stderr


def test_a_damaged_token_is_exit_5(tmp_path: Path) -> None:
    token = JoinToken(("127.0.0.1:1",), KEY).encode()
    code, said = run_to_end(tmp_path, "127.0.0.1", "0", "--join", token[:30] + token[31:])
    assert code == 5
    assert "join token is damaged" in said
    assert token[20:30] not in said


@pytest.mark.timeout(150)
def test_a_peer_with_nothing_but_a_token_joins_and_needs_it_only_once(tmp_path: Path) -> None:
    first, second = free_ports(2)
    (tmp_path / "founder.key").write_text(KEY)  # where nobody looks who is not told
    with Programs(tmp_path) as swarm:
        run = ("--swarm-key", "founder.key", "--app", "linear", "--rounds", "100000", "--min-peers", "2")
        founder = swarm.start("127.0.0.1", str(first), *run)
        swarm.until(lambda: bool(founder.events), 60.0, "the founder tells something")
        told = pyfl("token", "--swarm-key", "founder.key", cwd=tmp_path)
        token = told.stdout.strip()
        joiner = swarm.start("127.0.0.1", str(second), "--join", token)
        swarm.until(lambda: bool(joiner.said(events.RoundCommitted)), 60.0, "the joiner sees a round")
        joiner.process.kill()
        joiner.process.wait()
        again = swarm.start("127.0.0.1", str(second), "--join", f"127.0.0.1:{first}")
        swarm.until(lambda: bool(again.said(events.RoundCommitted)), 60.0, "the joiner is back by its own copy of the key")
        assert token not in swarm.logs()

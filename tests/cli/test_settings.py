"""Flag, then PYFL_*, then pyfl.toml, then default."""

from __future__ import annotations

import inspect
import json
import os
import socket
from pathlib import Path

import pytest

from pyfl.cli.peer import peer
from pyfl.cli.peer_flags import flags_given
from pyfl.cli.port_owner import listener
from pyfl.cli.settings import peer_settings, with_origins
from pyfl.errors import ConfigError
from pyfl.peer.join_token import JoinToken
from pyfl.peer.settings import PeerSettings
from tests.cli.command_line import pyfl


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_nothing_given_is_the_default() -> None:
    assert peer_settings({"rounds": None, "join": [], "labels": {}, "listen": ""}, {}) == PeerSettings()


def test_a_flag_beats_the_environment_which_beats_the_file() -> None:
    Path("pyfl.toml").write_text('rounds = 1\nseed = 2\nmin-peers = 3\nname = "from-file"\n')
    settings = peer_settings({"rounds": 10}, {"PYFL_ROUNDS": "20", "PYFL_SEED": "30"})
    assert (settings.rounds, settings.seed, settings.min_peers, settings.name) == (10, 30, 3, "from-file")


def test_a_flag_that_says_no_is_given() -> None:
    assert peer_settings({"serve": False}, {"PYFL_SERVE": "true"}).serve is False
    assert peer_settings({"index": 0}, {"PYFL_INDEX": "4"}).index == 0


def test_lists_and_tables_fit_into_variables() -> None:
    settings = peer_settings({}, {"PYFL_JOIN": "a:1, b:2", "PYFL_LABELS": "site=oslo", "PYFL_DEADLINES": "progress_s=3.5"})
    assert settings.join == ("a:1", "b:2")
    assert settings.labels == {"site": "oslo"}
    assert settings.deadlines.progress_s == 3.5


def test_a_key_in_the_environment_is_left_to_whoever_looks_for_keys() -> None:
    Path("pyfl.toml").write_text('swarm_key = "file.key"\n')
    assert peer_settings({}, {}).swarm_key == "file.key"
    assert peer_settings({}, {"PYFL_SWARM_KEY": "0" * 64}).swarm_key == ""
    assert peer_settings({"swarm_key": "mine"}, {"PYFL_SWARM_KEY": "0" * 64}).swarm_key == "mine"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("min-peer = 3", "unknown key 'min-peer'. Did you mean 'min_peers'"), ("rounds =", "is not TOML"), ('rounds = "x"', "Setting rounds")],
)
def test_a_file_that_is_wrong_names_what(text: str, complaint: str) -> None:
    Path("pyfl.toml").write_text(text)
    with pytest.raises(ConfigError, match=complaint.replace("(", "\\(")):
        peer_settings({}, {})


def test_a_file_that_was_asked_for_must_exist() -> None:
    with pytest.raises(ConfigError, match=r"mine\.toml cannot be read"):
        peer_settings({}, {}, Path("mine.toml"))


def test_whoever_listens_on_a_port_is_named() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        assert "End it, or choose another port." in listener(address)
        if Path("/proc/net/tcp").exists():
            assert f"Process {os.getpid()} " in listener(address)


def test_each_setting_says_where_it_comes_from() -> None:
    Path("pyfl.toml").write_text('rounds = 1\nseed = 2\nmin-peers = 3\nswarm_key = "file.key"\n')
    origin = with_origins({"rounds": 10}, {"PYFL_ROUNDS": "20", "PYFL_SEED": "30"}).origin
    assert [origin[name] for name in ("rounds", "seed", "min_peers", "swarm_key", "app")] == [
        "flag", "PYFL_SEED", "pyfl.toml", "pyfl.toml", "default"
    ]  # fmt: skip
    assert with_origins({}, {"PYFL_SWARM_KEY": "0" * 64}).origin["swarm_key"] == "PYFL_SWARM_KEY"
    assert set(origin) == set(PeerSettings.__struct_fields__)


def test_every_argument_of_peer_is_a_setting() -> None:
    arguments = dict.fromkeys(inspect.signature(peer).parameters)
    assert set(flags_given(arguments)) <= set(PeerSettings.__struct_fields__)


KEY = "0123456789abcdef" * 4


@pytest.mark.real
def test_config_show_takes_the_options_of_peer_and_shows_no_secret(tmp_path: Path) -> None:
    token = JoinToken(("10.0.0.4:7700",), KEY).encode()
    Path("pyfl.toml").write_text(f'rounds = 7\njoin = ["a:1", "{token}"]\n')
    ended = pyfl("config", "show", "127.0.0.1", "7701", "--seed", "3", "--json", cwd=tmp_path, PYFL_SWARM_KEY=KEY, PYFL_LABELS="site=oslo")
    told = json.loads(ended.stdout)
    assert told["rounds"] == {"value": 7, "origin": "pyfl.toml"}
    assert told["listen"] == {"value": "127.0.0.1:7701", "origin": "flag"}
    assert told["seed"] == {"value": 3, "origin": "flag"}
    assert told["labels"] == {"value": {"site": "oslo"}, "origin": "PYFL_LABELS"}
    assert told["join"]["value"] == ["a:1", "(a join token)"]
    assert told["durability"] == {"value": "full", "origin": "default"}
    people = pyfl("config", "show", "--swarm-key", KEY, cwd=tmp_path).stdout
    assert any(line.split() == ["rounds", "pyfl.toml", "7"] for line in people.splitlines())
    for secret in (KEY, token):
        assert secret not in people + ended.stdout


@pytest.mark.real
def test_config_show_refuses_what_peer_would_refuse(tmp_path: Path) -> None:
    Path("pyfl.toml").write_text("min-peer = 3\n")
    ended = pyfl("config", "show", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (5, "")
    assert "Did you mean 'min_peers'?" in ended.stderr
    assert pyfl("config", "show", "--rounds", "none", cwd=tmp_path).returncode == 2

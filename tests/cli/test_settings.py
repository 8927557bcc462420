"""Flag, then PYFL_*, then pyfl.toml, then default."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pyfl.cli.port_owner import listener
from pyfl.cli.settings import peer_settings
from pyfl.errors import ConfigError
from pyfl.peer.settings import PeerSettings


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
            assert "pytest" in listener(address)

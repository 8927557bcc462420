"""Where a peer's HTTP API is told to be, and the token that it wants."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from pyfl.errors import ConfigError
from pyfl.peer.http_address import advertised, parse, resolved
from pyfl.peer.http_token import derived_token, find_http_token
from pyfl.peer.settings import PeerSettings

KEY = "ab" * 32


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("7780", ("127.0.0.1", 7780)), (":7780", ("127.0.0.1", 7780)), ("0", ("127.0.0.1", 0)), ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[::1]:7780", ("::1", 7780)), ("peer.example:65535", ("peer.example", 65535)), (" 10.0.0.4:7780 ", ("10.0.0.4", 7780)),
    ],
)  # fmt: skip
def test_a_port_alone_is_for_this_machine(text: str, address: tuple[str, int]) -> None:
    assert parse(text) == address


@pytest.mark.parametrize("text", ["x", "10.0.0.4", "10.0.0.4:", "10.0.0.4:65536", "::1:7780", "a b:1", "1:2:3", "http://x:1", "-1"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected HOST:PORT .* 0\.0\.0\.0:7780"):
        PeerSettings(http=text)


def test_the_label_is_reserved() -> None:
    with pytest.raises(ConfigError, match="choose another name"):
        PeerSettings(labels={"http": "10.0.0.4:80"})


@pytest.mark.parametrize(
    ("host", "advertise", "address", "here", "seen"),
    [
        ("10.0.0.4", "", "10.0.0.4:7700", "10.0.0.5:7700", "10.0.0.4:80"),
        ("0.0.0.0", "", "10.0.0.4:7700", "10.0.0.5:7700", "10.0.0.4:80"),
        ("0.0.0.0", "203.0.113.7:7700", "203.0.113.7:7700", "10.0.0.5:7700", "203.0.113.7:80"),
        ("::", "", "[fd00::4]:7700", "[fd00::5]:7700", "[fd00::4]:80"),
        ("127.0.0.1", "", "127.0.0.1:7701", "127.0.0.1:7700", "127.0.0.1:80"),
        ("127.0.0.1", "", "10.0.0.4:7701", "10.0.0.4:7700", "127.0.0.1:80"),
        ("127.0.0.1", "", "10.0.0.4:7700", "10.0.0.5:7700", ""),
    ],
)
def test_what_others_see_is_what_they_can_open(host: str, advertise: str, address: str, here: str, seen: str) -> None:
    assert resolved(advertised(host, 80, advertise), address, here) == seen


def test_a_peer_that_serves_nothing_has_no_address() -> None:
    assert resolved("", "10.0.0.4:7700", "10.0.0.5:7700") == ""


def test_every_peer_of_a_swarm_has_one_token_which_is_not_the_key(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    token = find_http_token(tmp_path / "a", KEY)
    assert token == find_http_token(tmp_path / "b", KEY) == find_http_token(tmp_path / "a", KEY)
    assert token != derived_token("cd" * 32)
    assert token == hmac.new(bytes.fromhex(KEY), b"pyfl http token 1", hashlib.sha256).hexdigest()
    assert (tmp_path / "a" / "http.token").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a" / "http.token").read_text() == token + "\n"


def test_a_token_of_the_operators_own_is_kept(tmp_path: Path) -> None:
    (tmp_path / "http.token").write_text("correct-horse-battery\n")
    assert find_http_token(tmp_path, KEY) == "correct-horse-battery"
    assert (tmp_path / "http.token").read_text() == "correct-horse-battery\n"


@pytest.mark.parametrize("content", [b"", b"short", b"two words of a token", b"\xff" * 20, b"x" * 600])
def test_a_file_that_holds_no_token_is_not_served_with_and_not_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "http.token").write_bytes(content)
    with pytest.raises(ConfigError, match=r"http\.token"):
        find_http_token(tmp_path, KEY)
    assert (tmp_path / "http.token").read_bytes() == content

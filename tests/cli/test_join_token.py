"""A token says where a swarm is and holds its key; one that is damaged in any way is refused and never repeated."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfl.errors import ConfigError
from pyfl.peer import join_token
from pyfl.peer.join_token import JoinToken, expand_tokens
from pyfl.peer.settings import PeerSettings
from pyfl.peer.swarm_key import find_swarm_key

KEY = "0123456789abcdef" * 4
TOKEN = JoinToken(("10.0.0.4:7700", "[2001:db8::7]:7701", "peer.example.org:7702"), KEY)

addresses = st.builds("{}:{}".format, st.sampled_from(["10.0.0.4", "peer.example.org", "[2001:db8::7]"]), st.integers(1, 65535))
tokens = st.builds(JoinToken, st.lists(addresses, min_size=1, max_size=8).map(tuple), st.binary(min_size=32, max_size=32).map(bytes.hex))


@given(tokens)
def test_what_goes_in_comes_out(token: JoinToken) -> None:
    text = token.encode()
    assert JoinToken.decode(text) == token
    assert JoinToken.decode(f"  {text[:20]}\n{text[20:].upper()}\n") == token
    assert ":" not in text
    assert text.isascii()


@given(st.data())
def test_one_wrong_character_is_noticed(data: st.DataObject) -> None:
    text = TOKEN.encode()
    place = data.draw(st.integers(5, len(text) - 2))  # the last may hold bits that mean nothing
    other = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz234567").filter(lambda c: c != text[place]))
    for damaged in (text[:place] + other + text[place + 1 :], text[:place], text[:place] + text[place + 1 :]):
        with pytest.raises(ConfigError, match="join token is damaged") as refused:
            JoinToken.decode(damaged)
        assert damaged[:40] not in str(refused.value)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ([2, bytes(32), ["a:1"], "new"], "of a version that this pyfl does not read"),
        ([1, bytes(31), ["a:1"]], "cannot be read"),
        ([1, bytes(32), []], "cannot be read"),
        ([1, bytes(32), ["a:1", 7]], "cannot be read"),
        ([], "cannot be read"),
        ([1, bytes(32), ["no port"]], "no address to join"),
    ],
)
def test_a_token_that_is_whole_but_makes_no_sense_is_refused(body: list[object], complaint: str) -> None:
    raw = msgspec.msgpack.encode(body)
    text = "pyfl-" + base64.b32encode(raw + join_token._checksum(raw)).decode().rstrip("=").lower()  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(ConfigError, match=complaint):
        JoinToken.decode(text)


@pytest.mark.parametrize("address", ["", "10.0.0.4", "10.0.0.4:0", "10.0.0.4:65536", "2001:db8::7:7700", "a b:1"])
def test_no_token_is_made_of_what_nobody_could_dial(address: str) -> None:
    with pytest.raises(ConfigError, match="is no address to join"):
        JoinToken((address,), KEY)


def test_a_printed_token_object_does_not_show_its_key() -> None:
    assert KEY not in repr(TOKEN)


def test_tokens_and_addresses_can_be_mixed_and_are_tried_in_their_order() -> None:
    settings, key = expand_tokens(PeerSettings(join=("first:1", TOKEN.encode(), "first:1", "last:2")))
    assert settings.join == ("first:1", *TOKEN.addresses, "last:2")
    assert key == KEY
    assert expand_tokens(PeerSettings(join=("first:1",))) == (PeerSettings(join=("first:1",)), "")


def test_tokens_of_two_swarms_are_one_too_many() -> None:
    other = JoinToken(("a:1",), "f" * 64)
    with pytest.raises(ConfigError, match="of different swarms"):
        expand_tokens(PeerSettings(join=(TOKEN.encode(), other.encode())))


def test_what_is_neither_is_told_without_its_end() -> None:
    with pytest.raises(ConfigError, match="neither HOST:PORT nor a join token") as refused:
        expand_tokens(PeerSettings(join=(TOKEN.encode()[3:],)))
    assert TOKEN.encode()[12:] not in str(refused.value)


def test_a_tokens_key_goes_before_the_environments_and_is_kept_for_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYFL_SWARM_KEY", "e" * 64)
    assert find_swarm_key("", tmp_path, create=False, token_key=KEY) == KEY
    kept = tmp_path / "swarm.key"
    assert kept.read_text() == KEY + "\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    monkeypatch.delenv("PYFL_SWARM_KEY")
    assert find_swarm_key("", tmp_path, create=False) == KEY


def test_a_tokens_key_never_replaces_another(tmp_path: Path) -> None:
    kept = tmp_path / "swarm.key"
    assert find_swarm_key("", tmp_path, create=False, token_key=KEY) == KEY
    assert find_swarm_key(str(kept), tmp_path, create=False, token_key=KEY) == KEY
    with pytest.raises(ConfigError, match=r"of another swarm than the key of .*swarm\.key"):
        find_swarm_key("", tmp_path, create=False, token_key="f" * 64)
    with pytest.raises(ConfigError, match="of another swarm than the key of --swarm-key"):
        find_swarm_key(str(kept), tmp_path / "new", create=False, token_key="f" * 64)
    assert kept.read_text() == KEY + "\n"

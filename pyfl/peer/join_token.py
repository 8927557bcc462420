"""A join token: where a swarm is and the key that lets one in, as one word of text to hand to the next peer."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Annotated

import msgspec

from pyfl.errors import ConfigError
from pyfl.peer.settings import PeerSettings

__all__ = ["JoinToken", "expand_tokens", "is_token"]

PREFIX = "pyfl-"
VERSION = 1
KEY_BYTES, CHECKSUM_BYTES = 32, 4
LONGEST = 4096  # characters: some forty addresses
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]]+):(\d{1,5})")
AGAIN = "Copy it whole, or have a peer of the swarm make another with `pyfl token`."


class _Body(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the text holds, as MessagePack. The version is first in every version."""

    version: int
    key: Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
    addresses: Annotated[list[str], msgspec.Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class JoinToken:
    """`addresses`: HOST:PORT each, at least one; `swarm_key`: 64 hexadecimal characters. Raises `ConfigError` for anything else."""

    addresses: tuple[str, ...]
    swarm_key: str

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ConfigError("A join token needs an address at which a peer of the swarm can be reached: --address HOST:PORT.")
        for address in self.addresses:
            found = ADDRESS.fullmatch(address)
            if not found or not 0 < int(found[2]) < 65536:
                raise ConfigError(f"{address!r} is no address to join; expected HOST:PORT with a port from 1 to 65535, as 10.0.0.4:7700.")
        if not re.fullmatch(r"[0-9a-f]{64}", self.swarm_key):
            raise ConfigError("A join token holds a swarm key of 64 hexadecimal characters, and was given something else.")

    def __repr__(self) -> str:
        """Show everything but the secret."""
        return f"JoinToken(addresses={self.addresses!r}, swarm_key=...)"

    def encode(self) -> str:
        """`pyfl-` and base32, which survives being read aloud, typed and changed in case."""
        body = msgspec.msgpack.encode(_Body(VERSION, bytes.fromhex(self.swarm_key), list(self.addresses)))
        text = base64.b32encode(body + _checksum(body)).decode().rstrip("=").lower()
        if len(text) > LONGEST:
            raise ConfigError(f"A join token of {len(self.addresses)} addresses is too long; name fewer with --address.")
        return PREFIX + text

    @classmethod
    def decode(cls, text: str) -> JoinToken:
        """Raises `ConfigError` for a token that is damaged or of another version; no message repeats the token."""
        packed = re.sub(r"\s", "", text)[len(PREFIX) :].upper()
        if not is_token(text) or len(packed) > LONGEST:
            raise ConfigError(f"The join token is damaged: it does not begin with {PREFIX!r}, or is too long. {AGAIN}")
        try:
            raw = base64.b32decode(packed + "=" * (-len(packed) % 8))
        except binascii.Error as error:
            raise ConfigError(f"The join token is damaged: it has characters that no token has, or lost some. {AGAIN}") from error
        body, checksum = raw[:-CHECKSUM_BYTES], raw[-CHECKSUM_BYTES:]
        if _checksum(body) != checksum:
            raise ConfigError(f"The join token is damaged: its checksum does not fit. {AGAIN}")
        try:
            version = msgspec.msgpack.decode(body, type=list[msgspec.Raw])
            if msgspec.msgpack.decode(version[0], type=int) != VERSION:
                raise ConfigError(
                    f"The join token is of a version that this pyfl does not read (it reads {VERSION}). Use the swarm's version of pyfl."
                )
            held = msgspec.msgpack.decode(body, type=_Body)
        except (msgspec.DecodeError, UnicodeDecodeError, IndexError) as error:
            raise ConfigError(f"The join token cannot be read: {error}. {AGAIN}") from error
        return cls(tuple(held.addresses), held.key.hex())


def is_token(text: str) -> bool:
    """Whether it claims to be a token; everything else in `--join` is an address."""
    return text.strip().lower().startswith(PREFIX) and ":" not in text


def expand_tokens(settings: PeerSettings) -> tuple[PeerSettings, str]:
    """(the settings with every token in `join` replaced by its addresses, the tokens' key or "").

    Raises `ConfigError` for a damaged token, something that is neither token nor address, and tokens of different swarms.
    """
    tokens = {text: JoinToken.decode(text) for text in settings.join if is_token(text)}
    for text in settings.join:
        if ":" not in text and text not in tokens:
            shown = f"{text[:8]}…" if len(text) > 8 else text  # the rest may be a key
            raise ConfigError(f"join: {shown!r} is neither HOST:PORT nor a join token, which begins with {PREFIX!r}. {AGAIN}")
    keys = {token.swarm_key for token in tokens.values()}
    if len(keys) > 1:
        raise ConfigError("join: the tokens are of different swarms; a peer joins one. Give the tokens of one swarm.")
    if not tokens:
        return settings, ""
    spread = [address for text in settings.join for address in (tokens[text].addresses if text in tokens else (text,))]
    return msgspec.structs.replace(settings, join=tuple(dict.fromkeys(spread))), keys.pop()


def _checksum(body: bytes) -> bytes:
    """Against typing errors, not against anyone: whoever makes a token chooses its key."""
    return hashlib.blake2b(body, digest_size=CHECKSUM_BYTES).digest()

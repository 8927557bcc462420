"""The ledger of a peer that does not run: read from its data directory, asked after at others, made anew by an operator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pyfl.overlay.library import ERROR_BYTES, answer, fail, load

__all__ = ["LedgerOnDisk", "Standing", "StoredRecord", "ask", "inspect", "recover"]

_BYTES = 256 * 1024  # of a first buffer: seldom too small, so that nothing is asked or done twice


class StoredRecord(msgspec.Struct, frozen=True):
    """A record as it lies there."""

    key: str
    version: int
    index: int
    value: bytes


class LedgerOnDisk(msgspec.Struct, frozen=True):
    """What a data directory holds of the ledger. `aside`: where the old one went, after a recovery."""

    self: str
    ledger: str
    epoch: int
    recovery: str
    voters: tuple[str, ...]
    votes: bool
    index: int
    records: tuple[StoredRecord, ...]
    aside: str = ""


class Standing(msgspec.Struct, frozen=True):
    """What the peer at an address answered; `error` when it did not. `leader`: with whom it is in contact, empty without one."""

    address: str
    error: str = ""
    peer: str = ""
    ledger: str = ""
    epoch: int = 0
    recovery: str = ""
    voters: tuple[str, ...] = ()
    index: int = 0
    leader: str = ""


def inspect(data_dir: Path) -> LedgerOnDisk:
    """Read it; nothing changes. Raises `PeerRunning`, `NoLedger`, or `OverlayError` for one that is damaged."""
    return msgspec.msgpack.decode(_answer("p2p_ledger_inspect", str(data_dir).encode()), type=LedgerOnDisk)


def recover(data_dir: Path) -> LedgerOnDisk:
    """Make a ledger of the next epoch with this peer as its only voter; what it was made from, without records. Raises as `inspect`."""
    return msgspec.msgpack.decode(_answer("p2p_ledger_recover", str(data_dir).encode()), type=LedgerOnDisk)


def ask(addresses: Sequence[str], swarm_key: str, timeout_s: float = 3.0) -> tuple[Standing, ...]:
    """Ask peers that may run where they stand, all at once; one answer an address."""
    survey = msgspec.json.encode({"swarm_key": swarm_key, "addresses": list(addresses), "timeout_ms": int(timeout_s * 1000)})
    return msgspec.msgpack.decode(_answer("p2p_ledger_ask", survey, len(survey)), type=tuple[Standing, ...])


def _answer(name: str, *arguments: object) -> bytes:
    library = load()
    function, error = getattr(library.lib, name), library.ffi.new("char[]", ERROR_BYTES)

    def call(buffer: Any, size: int, needed: Any) -> int:
        written = function(*arguments, buffer, size, needed, error, ERROR_BYTES)
        if written != library.lib.P2P_ERR_SMALL:
            fail(library, written, library.ffi.string(error).decode("utf-8", "replace"))
        return written

    return answer(library, call, _BYTES)

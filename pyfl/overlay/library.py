"""The overlay's library: loaded when it is first used, its codes as typed errors, its answers in buffers that grow to fit."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from pyfl.errors import (
    AddressInUse,
    NoLedger,
    NoSuchPeer,
    NotTheLeader,
    OverlayArgument,
    OverlayClosed,
    OverlayConfigError,
    OverlayError,
    OverlayForked,
    OverlayFull,
    OverlayTimeout,
    PeerRunning,
    TransferGone,
)

__all__ = ["ERROR_BYTES", "FIRST_BYTES", "answer", "fail", "load"]

if find_spec("pyfl.overlay._p2plib") is None:
    raise ImportError("the overlay's library is not built: run `make build`")

FIRST_BYTES = 64 * 1024  # of a buffer; a larger answer says what it needs
ERROR_BYTES = 4096

_ERRORS: dict[str, type[OverlayError]] = {
    "P2P_ERR_HANDLE": OverlayClosed,
    "P2P_ERR_CLOSED": OverlayClosed,
    "P2P_ERR_CONFIG": OverlayConfigError,
    "P2P_ERR_ADDRESS_IN_USE": AddressInUse,
    "P2P_ERR_NO_PEER": NoSuchPeer,
    "P2P_ERR_ARGUMENT": OverlayArgument,
    "P2P_ERR_FULL": OverlayFull,
    "P2P_ERR_FORKED": OverlayForked,
    "P2P_ERR_NO_TRANSFER": TransferGone,
    "P2P_ERR_TIMEOUT": OverlayTimeout,
    "P2P_ERR_NOT_LEADER": NotTheLeader,
    "P2P_ERR_RUNNING": PeerRunning,
    "P2P_ERR_NO_LEDGER": NoLedger,
}


def load() -> Any:
    """The module with `ffi` and `lib`. Not before a fork: Go does not survive one."""
    from pyfl.overlay import _p2plib

    return _p2plib


def answer(library: Any, call: Callable[[Any, int, Any], int], size: int = FIRST_BYTES) -> bytes:
    """What `call(buffer, size, needed)` writes, asked again with more room as long as there is too little. Raises as `fail`."""
    needed = library.ffi.new("size_t *")
    while True:
        buffer = library.ffi.new("char[]", size)
        written = call(buffer, size, needed)
        if written != library.lib.P2P_ERR_SMALL:
            fail(library, written)
            return bytes(library.ffi.buffer(buffer, written))
        size = needed[0]


def fail(library: Any, code: int, text: str = "") -> None:
    """Raise the typed error of a negative code."""
    if code >= 0:
        return
    kind = next((kind for name, kind in _ERRORS.items() if getattr(library.lib, name) == code), OverlayError)
    if kind is OverlayClosed:
        text = text or "the overlay was closed, and its events are drained; open another"
    elif kind is OverlayForked:
        text = text or "this process was forked after the overlay was loaded; load it in the child"
    raise kind(text or f"the overlay's library failed with code {code}")

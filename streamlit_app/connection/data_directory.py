"""What a peer's data directory on this machine tells a dashboard: the token, and through the socket in it the HTTP address."""

from __future__ import annotations

from pathlib import Path

import httpx
import msgspec

from pyfl.peer.status import Status

__all__ = ["TOKEN", "homes", "http_address"]

TOKEN, SOCKET = "http.token", "http.sock"
ANSWER_S = 2.0


def homes(directory: Path) -> list[Path]:
    """The peers' data directories there: this one, or those below it."""
    below = sorted(path.parent for path in directory.glob(f"*/{TOKEN}"))
    return below if below and not (directory / TOKEN).exists() else [directory]


def http_address(home: Path) -> str:
    """Where the peer that runs there serves HTTP; empty if none does."""
    pointer = home / f"{SOCKET}.path"
    try:
        place = pointer.read_text().strip() if pointer.exists() else str(home / SOCKET)
        if not Path(place).exists():
            return ""
        with httpx.Client(transport=httpx.HTTPTransport(uds=place), base_url="http://peer", timeout=ANSWER_S) as client:
            return msgspec.json.decode(client.get("/v1/status").content, type=Status).http
    except (OSError, UnicodeDecodeError, httpx.TransportError, msgspec.DecodeError):
        return ""  # it is ending, or another user's: the page asks for an address

"""The addresses of the peers that this one has met, kept in its data directory: how it finds the swarm again without being told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from pyfl.overlay import protocol as overlay
from pyfl.peer.swarm_key import write_secret

__all__ = ["Acquaintances"]

REMEMBERED = 64  # one that still answers is enough


class Acquaintances:
    """Addresses by peer id, in `peers.json`. Peers that died stay: they may come back. One caller at a time."""

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self._path, self._warn = path, warn
        self._known: dict[str, str] = {}
        if path.exists():
            try:
                self._known = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
            except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                warn(f"{path} cannot be read ({error}); expected addresses by peer id. Only the addresses to join are tried.")

    @property
    def known(self) -> bool:
        """Whether this peer has been a member of the swarm before."""
        return bool(self._known) or self._path.exists()

    def addresses(self) -> tuple[str, ...]:
        """Whom to ask, the last met first."""
        return tuple(dict.fromkeys(reversed(self._known.values())))

    def address(self, peer: str) -> str:
        """Where a peer was last; empty if it was never met."""
        return self._known.get(peer, "")

    def take(self, event: overlay.Event) -> None:
        """Remember who came, forget who said goodbye."""
        before = dict(self._known)
        match event:
            case overlay.PeerUp() | overlay.PeerUpdate():
                self._known[event.peer] = event.address
            case overlay.PeerDown(reason="left"):
                self._known.pop(event.peer, None)
            case _:
                return
        if self._known == before:
            return
        self._known = dict(list(self._known.items())[-REMEMBERED:])
        try:
            write_secret(self._path, msgspec.json.encode(self._known).decode())
        except OSError as error:
            self._warn(f"{self._path} could not be written: {error}. The peer goes on; after a restart it knows fewer addresses.")

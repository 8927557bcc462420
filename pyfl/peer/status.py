"""A peer's state as others may see it: snapshots taken by the driver's thread, read by any other. What `/v1/...` returns."""

from __future__ import annotations

from typing import Protocol

import msgspec

from pyfl.events import Stamped
from pyfl.rounds.history import Committed

__all__ = ["PeerEntry", "PeerHandle", "RoundEntry", "Status"]


class PeerEntry(msgspec.Struct, frozen=True):
    """One peer of the swarm. `have`: its newest model, -1 unknown; `phase`: training, reducing, holding, waiting, joining, suspected."""

    peer: str
    name: str
    address: str
    me: bool = False
    coordinator: bool = False
    voter: bool = False
    phase: str = ""
    have: int = -1
    samples: int = 0
    labels: dict[str, str] = {}


class RoundEntry(Committed, frozen=True):
    """A committed round, as the history has it."""


class Status(msgspec.Struct, frozen=True):
    """Where this peer and, as far as it knows, the swarm stands."""

    peer: str
    name: str
    address: str
    version: str
    run: str = ""
    app: str = ""
    rounds: int = 0
    round: int = -1
    epoch: int = 0
    phase: str = ""
    have: int = -1
    digest: str = ""
    accuracy: float | None = None
    loss: float | None = None
    coordinator: str = ""
    voters: tuple[str, ...] = ()
    control: str = "running"
    waiting: str = ""
    parameters: int = 0
    uptime_s: float = 0.0
    counters: dict[str, float] = {}


class PeerHandle(Protocol):
    """What serves a peer's API needs of it. Any thread may call; nothing blocks but `events`."""

    def status(self) -> Status:
        """The present state."""
        ...

    def peers(self) -> list[PeerEntry]:
        """Every peer known, this one first."""
        ...

    def rounds(self) -> list[RoundEntry]:
        """The remembered committed rounds, oldest first."""
        ...

    def tree(self, segment: int) -> dict[str, object]:
        """{"segment", "root", "parent": {peer: peer}} of the present or last reduce; empty before the first."""
        ...

    def events(self, last: int, timeout_s: float) -> list[Stamped]:
        """The journal after event `last`; waits for the first."""
        ...

    def control(self, command: str, argument: str = "") -> str:
        """pause, resume, leave, kick PEER, stop: asked for; returns a sentence about it. Raises `ControlError`."""
        ...

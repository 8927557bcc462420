"""What a page draws from: one frozen picture of the swarm and of the link to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pyfl.events import Stamped
from pyfl.peer.status import Local, PeerEntry, RoundEntry, Status

__all__ = ["Link", "LinkState", "Picture", "SeenPeer", "Traffic"]

LinkState = Literal["connecting", "live", "stale", "refused", "unreachable"]


@dataclass(frozen=True, slots=True)
class Link:
    """The connection to whoever is asked. `stale`: nobody answers any more, and what is shown was true at `seen_at` (Unix time)."""

    state: LinkState = "connecting"
    address: str = ""
    title: str = ""
    problem: str = ""
    advice: str = ""
    seen_at: float = 0.0
    moved_from: str = ""
    """The address that was asked before, if that peer stopped answering."""


@dataclass(frozen=True, slots=True)
class SeenPeer:
    """A peer, its place among all and its spot within its site, which it keeps. `gone`: how it went, empty while it is there."""

    entry: PeerEntry
    place: int
    gone: str = ""
    gone_at: float = 0.0
    spot: int = 0

    @property
    def called(self) -> str:
        """Its name, or the beginning of its id."""
        return self.entry.name or self.entry.peer[:8]

    @property
    def site(self) -> str:
        """Where it is, by its labels; empty where they do not say."""
        return self.entry.labels.get("site", "") or self.entry.labels.get("region", "")

    @property
    def phase(self) -> str:
        """What it does, `gone` once it does nothing any more."""
        return "gone" if self.gone else self.entry.phase or "waiting"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that all peers who tell had sent and received at a time (Unix)."""

    at: float
    sent: int
    received: int


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything known at one moment. `peers` in the order of their names; `rounds` and `events` oldest first."""

    link: Link = Link()
    status: Status | None = None
    peers: tuple[SeenPeer, ...] = ()
    rounds: tuple[RoundEntry, ...] = ()
    events: tuple[Stamped, ...] = ()
    """Of every peer that tells, in the order of their clocks."""
    locals: dict[str, Local] = field(default_factory=dict[str, Local])
    traffic: Traffic | None = None
    heard: dict[str, float] = field(default_factory=dict[str, float])
    """Until when each peer's events are known, by its id (Unix time)."""

    @property
    def names(self) -> dict[str, str]:
        """What each peer ever seen is called, by its id."""
        return {peer.entry.peer: peer.called for peer in self.peers}

    @property
    def alive(self) -> list[SeenPeer]:
        """Those that are there."""
        return [peer for peer in self.peers if not peer.gone]

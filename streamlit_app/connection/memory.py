"""Collects what the peers answer into a picture. No IO; the caller holds a lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyfl.events import RoundCommitted, Stamped
from pyfl.peer.status import Local, PeerEntry, RoundEntry, Status
from streamlit_app.connection.picture import Link, Picture, Traffic
from streamlit_app.connection.roll import Roll

__all__ = ["Memory"]

EVENTS = 20_000  # all peers together; a page shows fewer
FORGET = 2_000  # at once, so that the list is not cut at every event


class Memory:
    """Of one run: when a peer tells of another run, everything before is forgotten."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._roll = Roll()
        self._status: Status | None = None
        self._rounds: dict[int, RoundEntry] = {}
        self._locals: dict[str, Local] = {}
        self._events: list[Stamped] = []
        self._known: set[tuple[str, int, float]] = set()
        self._last: dict[str, int] = {}
        self._heard: dict[str, float] = {}

    def status(self, status: Status) -> None:
        """Where the peer that was asked stands."""
        if self._status is not None and self._status.run and status.run and status.run != self._status.run:
            self._forget()
        self._status = status

    def peers(self, present: Sequence[PeerEntry], now: float) -> None:
        """Who is there."""
        self._roll.call(present, now)

    def rounds(self, rounds: Iterable[RoundEntry]) -> None:
        """What is committed; peers remember 16 rounds, a dashboard more."""
        for entry in rounds:
            self._rounds[entry.round] = entry

    def local(self, local: Local) -> None:
        """What a peer tells of itself."""
        self._locals[local.peer] = local

    def events(self, peer: str, told: Sequence[Stamped], now: float) -> None:
        """What happened at one peer up to `now`, in its order. Numbers begin at 1 again where its data directory was made anew."""
        self._heard[peer] = now
        fresh = [event for event in told if (event.peer, event.id, event.time) not in self._known]
        for event in fresh:
            self._known.add((event.peer, event.id, event.time))
            if isinstance(event.data, RoundCommitted) and event.data.round not in self._rounds:
                self._rounds[event.data.round] = _entry(event.data)
        if told:
            self._last[peer] = told[-1].id
        self._events += fresh
        if len(self._events) > EVENTS:
            self._events.sort(key=lambda event: event.time)
            self._known -= {(event.peer, event.id, event.time) for event in self._events[:FORGET]}
            del self._events[:FORGET]
        self._roll.hear(fresh)

    def last_event(self, peer: str) -> int:
        """The number of the newest event of a peer that is known here."""
        return self._last.get(peer, 0)

    def picture(self, link: Link, now: float) -> Picture:
        """Everything, frozen."""
        self._events.sort(key=lambda event: event.time)  # nearly sorted: each peer's own are
        used = [local.resources for local in self._locals.values()]
        traffic = Traffic(now, sum(u.bytes_sent for u in used), sum(u.bytes_received for u in used)) if used else None
        rounds = tuple(self._rounds[number] for number in sorted(self._rounds))
        return Picture(link, self._status, self._roll.peers(), rounds, tuple(self._events), dict(self._locals), traffic, dict(self._heard))


def _entry(event: RoundCommitted) -> RoundEntry:
    return RoundEntry(
        event.round,
        event.epoch,
        event.digest,
        "",
        event.contributors,
        event.void,
        event.accuracy,
        event.loss,
        event.train_s,
        event.reduce_s,
    )

"""The event stream of `/v1/events`: server-sent events that a client can resume where it stopped, at whatever peer it stopped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection
from typing import get_args

import msgspec

from pyfl.errors import BadInput
from pyfl.events import ObservedEvent, Stamped
from pyfl.peer.status import PeerHandle

__all__ = ["KINDS", "Bell", "chosen_kinds", "kind_of", "resume_after", "server_sent", "stream"]

BURST_S = 0.05  # after an event, in which others of the same moment come: a write for all of them, not one for each
KEEP_ALIVE_S = 15.0  # of silence, then a comment: proxies and dead clients show themselves
ENCODED = 256  # events whose text is kept for the next follower
PREFIX = 8  # characters of a peer's id: one peer's numbers mean nothing at another
KINDS = frozenset(str(kind.__struct_config__.tag) for kind in get_args(ObservedEvent))

_NUMBER = re.compile(r"(?:([0-9a-f]{8})-)?([0-9]{1,15})")


class Bell:
    """Rings in the server's loop when the peer has a new event, and when the server stops. Watches only while somebody waits."""

    def __init__(self, handle: PeerHandle) -> None:
        self._handle = handle
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: Callable[[], None] | None = None
        self._followers = 0
        self._next: asyncio.Event | None = None
        self._encoded: dict[int, bytes] = {}
        self.stopped = False

    def follow(self) -> None:
        """One more waits, in the loop that it waits in."""
        self._followers += 1
        if self._end is None:
            self._loop = asyncio.get_running_loop()
            self._end = self._handle.watch(self.ring)

    def unfollow(self) -> None:
        """One less."""
        self._followers -= 1
        if not self._followers and self._end is not None:
            self._end()
            self._end = None

    def next(self) -> asyncio.Event:
        """Set at the next ring; take it before looking at what there is."""
        if self._next is None:
            self._next = asyncio.Event()
        return self._next

    def encoded(self, event: Stamped) -> bytes:
        """`server_sent` of an event, made once for all who follow."""
        found = self._encoded.get(event.id)
        if found is None:
            found = self._encoded[event.id] = server_sent(event)
            if len(self._encoded) > ENCODED:
                del self._encoded[next(iter(self._encoded))]
        return found

    def ring(self) -> None:
        """From any thread."""
        loop = self._loop
        if loop is None:
            return
        try:
            loop.call_soon_threadsafe(self._ring)
        except RuntimeError:  # the loop has ended, and with it everyone who waited
            return

    def _ring(self) -> None:
        if self._next is not None:
            self._next.set()
            self._next = None

    def stop(self) -> None:
        """Let the streams end, with what has happened until now."""
        self.stopped = True
        self.ring()


def chosen_kinds(given: Collection[str]) -> frozenset[str]:
    """The kinds of `?kind=a,b&kind=c`; empty: all. Raises `BadInput` for one that does not exist."""
    kinds = frozenset(kind.strip() for text in given for kind in text.split(",") if kind.strip())
    if kinds - KINDS:
        raise BadInput(f"There are no events of kind {', '.join(sorted(kinds - KINDS))}; there are {', '.join(sorted(KINDS))}.")
    return kinds


def resume_after(handle: PeerHandle, last: str) -> int:
    """From where to go on after the id `last` of a stream, or a bare number; 0, all that is remembered, where it means nothing here.

    It means nothing if another peer gave it, or if this one has not come so far: its data directory was made anew.
    """
    found = _NUMBER.fullmatch(last)
    if not found or (found[1] and found[1] != handle.status().peer[:PREFIX]):
        return 0
    number = int(found[2])
    if number and not handle.events(number - 1, 0.0):
        return 0
    return number


def kind_of(event: Stamped) -> str:
    """The event's name."""
    return str(type(event.data).__struct_config__.tag)


def server_sent(event: Stamped) -> bytes:
    """One event as the HTML standard's server-sent events have it; its type is the event's name."""
    place = f"{event.peer[:PREFIX]}-{event.id}"
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (place.encode(), kind_of(event).encode(), msgspec.json.encode(event))


async def stream(handle: PeerHandle, last: int, kinds: frozenset[str], bell: Bell) -> AsyncIterator[bytes]:
    """Every event after `last`, then each as it happens, until the server stops; events of the last moment are still sent."""
    bell.follow()
    try:
        yield b": pyfl\n\n"  # so that a client knows at once that it is connected
        while True:
            stopped, ring = bell.stopped, bell.next()
            new = handle.events(last, 0.0)
            told = b"".join(bell.encoded(event) for event in new if not kinds or kind_of(event) in kinds)
            if told:
                yield told
            if stopped:
                return
            last = new[-1].id if new else last
            try:
                await asyncio.wait_for(ring.wait(), KEEP_ALIVE_S)
            except TimeoutError:
                yield b": still here\n\n"
            if not bell.stopped:
                await asyncio.sleep(BURST_S)
    finally:
        bell.unfollow()

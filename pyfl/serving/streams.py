"""The event stream of `/v1/events`: server-sent events that a client can resume where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from pyfl.events import Stamped
from pyfl.peer.status import PeerHandle

__all__ = ["resume_after", "server_sent", "stream"]

SLICE_S = 0.5  # how soon a stream notices that the server stops; new events come at once
KEEP_ALIVE_SLICES = 30  # of silence, then a comment: proxies and dead clients show themselves


def resume_after(handle: PeerHandle, last: int) -> int:
    """From where to go on after event `last`: numbers start at 1 again when a peer restarts, so a number from the future means 0."""
    if last <= 0 or handle.events(last, 0.0):
        return max(last, 0)
    remembered = handle.events(0, 0.0)
    return last if remembered and remembered[-1].id >= last else 0


def server_sent(event: Stamped) -> bytes:
    """One event as the HTML standard's server-sent events have it; its type is the event's name."""
    kind = type(event.data).__struct_config__.tag
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, str(kind).encode(), msgspec.json.encode(event))


def stream(handle: PeerHandle, last: int, stopping: Callable[[], bool]) -> Iterator[bytes]:
    """Every event after `last`, then each as it happens, until the server stops; events of the last moment are still sent."""
    last = resume_after(handle, last)
    silent = 0
    yield b": pyfl\n\n"  # so that a client knows at once that it is connected
    while True:
        last_words = stopping()
        events = handle.events(last, 0.0 if last_words else SLICE_S)
        for event in events:
            last = event.id
            yield server_sent(event)
        if last_words:
            return
        silent = 0 if events else silent + 1
        if silent >= KEEP_ALIVE_SLICES:
            silent = 0
            yield b": still here\n\n"

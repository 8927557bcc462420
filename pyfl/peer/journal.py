"""A peer's journal: every observed event gets a number and a time, goes to `events.jsonl`, and can be followed by other threads."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from pyfl.events import ObservedEvent, Stamped

__all__ = ["Journal"]

REMEMBERED = 10_000
ROTATE_BYTES = 16 * 1024 * 1024


class Journal:
    """Thread-safe. The file is rotated at 16 MiB, once: `events.jsonl` and `events.jsonl.1`."""

    def __init__(self, path: Path | None, peer: str, follower: Callable[[Stamped], None] | None = None) -> None:
        """`path` None keeps events in memory only; `follower` is called with each event in the thread that recorded it."""
        self._path, self._peer, self._follower = path, peer, follower
        self._events: deque[Stamped] = deque(maxlen=REMEMBERED)
        self._changed = threading.Condition()
        self._next = 1
        self._file: BinaryIO | None = None
        self._written = 0
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open(path)

    def _open(self, path: Path) -> None:
        self._file = path.open("ab")
        self._written = path.stat().st_size

    def record(self, event: ObservedEvent) -> Stamped:
        """Number and keep an event."""
        with self._changed:
            stamped = Stamped(self._next, time.time(), time.monotonic(), self._peer, event)
            self._next += 1
            self._events.append(stamped)
            self._write(msgspec.json.encode(stamped) + b"\n")
            self._changed.notify_all()
        if self._follower is not None:
            self._follower(stamped)
        return stamped

    def _write(self, line: bytes) -> None:
        if self._file is None or self._path is None:
            return
        if self._written > ROTATE_BYTES:
            self._file.close()
            os.replace(self._path, self._path.with_name(self._path.name + ".1"))
            self._open(self._path)
        self._file.write(line)
        self._file.flush()
        self._written += len(line)

    def since(self, last: int, timeout_s: float = 0.0) -> list[Stamped]:
        """The remembered events with numbers above `last`; waits up to `timeout_s` for the first."""
        with self._changed:
            self._changed.wait_for(lambda: self._next > last + 1, timeout_s)
            return [event for event in self._events if event.id > last]

    def close(self) -> None:
        """Close the file; later events are kept in memory only."""
        with self._changed:
            if self._file is not None:
                self._file.close()
                self._file = None

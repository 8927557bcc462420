"""A peer's journal: every observed event gets a number and a time, goes to `events.jsonl`, and can be followed by other threads.

Numbers go on where the file of an earlier life ends, so that one number never means two events.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from io import FileIO
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path

import msgspec

from pyfl.events import ObservedEvent, Stamped

__all__ = ["Journal"]

REMEMBERED = 10_000
ROTATE_BYTES = 16 * 1024 * 1024
RECALLED_BYTES = 1024 * 1024
"""Of an earlier life: some five thousand events, read in 10 ms."""


class Journal:
    """Thread-safe. The file is rotated at 16 MiB, once: `events.jsonl` and `events.jsonl.1`.

    What cannot be written, as on a full disk, is remembered and followed all the same: the peer goes on without it in its file.
    """

    def __init__(
        self,
        path: Path | None,
        peer: str,
        follower: Callable[[Stamped], None] | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`path` None keeps events in memory only; `follower` is called with each event in the thread that recorded it.

        `warn` is called when writing begins to fail, with the journal's lock held: it must not record.
        """
        self._path, self._peer, self._follower, self._warn = path, peer, follower, warn
        self._events: deque[Stamped] = deque(maxlen=REMEMBERED)
        self._changed = threading.Condition()
        self._watchers: list[Callable[[], None]] = []
        self._next = 1
        self._file: FileIO | None = None
        self._written = 0
        self._failing = False
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            _drop_torn_line(path)
            self._events.extend(_recall(path))
            self._next = self._events[-1].id + 1 if self._events else 1
            self._open(path)

    def _open(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._written = path.stat().st_size

    def record(self, event: ObservedEvent) -> Stamped:
        """Number and keep an event."""
        with self._changed:
            stamped = Stamped(self._next, time.time(), time.monotonic(), self._peer, event)
            self._next += 1
            self._events.append(stamped)
            self._write(msgspec.json.encode(stamped) + b"\n")
            self._changed.notify_all()
            watchers = tuple(self._watchers)
        for ring in watchers:
            ring()
        if self._follower is not None:
            self._follower(stamped)
        return stamped

    def _write(self, line: bytes) -> None:
        if self._file is None or self._path is None:
            return
        try:
            if self._written > ROTATE_BYTES:
                full = self._file
                os.replace(self._path, _older(self._path))
                self._open(self._path)
                full.close()
            if self._file.write(line) != len(line):
                self._file.truncate(self._written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            if not self._failing:
                self._failing = True
                self._warn(f"{self._path} cannot be written: {error.strerror}. Events are remembered, and missing in the file. Make room.")
            return
        self._failing = False
        self._written += len(line)

    def since(self, last: int, timeout_s: float = 0.0) -> list[Stamped]:
        """The remembered events with numbers above `last`; waits up to `timeout_s` for the first."""
        with self._changed:
            self._changed.wait_for(lambda: self._next > last + 1, timeout_s)
            new = list(islice(reversed(self._events), max(0, self._next - 1 - last)))
        new.reverse()
        return new

    def watch(self, ring: Callable[[], None]) -> Callable[[], None]:
        """Have `ring` called after each event, in the thread that recorded it: it must be quick. Returns what ends that."""
        with self._changed:
            self._watchers.append(ring)

        def end() -> None:
            with self._changed:
                self._watchers.remove(ring)

        return end

    def close(self) -> None:
        """Close the file; later events are kept in memory only."""
        with self._changed:
            if self._file is not None:
                self._file.close()
                self._file = None


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _drop_torn_line(path: Path) -> None:
    """A crash may leave the beginning of a line, to which the next event would be glued."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb+") as file:
        with mmap(file.fileno(), 0, access=ACCESS_READ) as content:  # of 16 MiB only the end is read
            whole, size = content.rfind(b"\n") + 1, len(content)
        if whole < size:
            file.truncate(whole)


def _recall(path: Path) -> list[Stamped]:
    """The last events of earlier lives, in the order of their numbers; what cannot be read is passed over."""
    for file in (path, _older(path)):
        if not file.exists():
            continue
        with file.open("rb") as opened:
            begin = max(0, file.stat().st_size - RECALLED_BYTES)
            opened.seek(begin)
            lines = opened.read().split(b"\n")
        found: list[Stamped] = []
        for line in lines[1:] if begin else lines:
            event = _decoded(line)
            if event is None:
                continue
            while found and found[-1].id >= event.id:  # files of earlier versions began at 1 with each life
                found.pop()
            found.append(event)
        if found:
            return found
    return []


def _decoded(line: bytes) -> Stamped | None:
    try:
        return msgspec.json.decode(line, type=Stamped) if line else None
    except (msgspec.DecodeError, UnicodeDecodeError):  # damaged, or of another version: the next line is whole again
        return None

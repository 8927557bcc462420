"""What a peer's API takes from its clients at most."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from pyfl.apps.images import LARGEST_FILE
from pyfl.errors import PeerBusy

__all__ = ["Limits", "Rates", "Slots"]

CLIENTS = 4096  # whose rates are remembered; the longest silent is forgotten first


@dataclass(frozen=True, slots=True)
class Limits:
    """The defaults are for a peer that trains: what is refused here is processor time and memory that its rounds keep."""

    requests_per_s: float = 100.0
    """Of one client's address, over TCP; twenty viewers at five a second each."""
    burst: int = 200
    image_bytes: int = LARGEST_FILE
    form_bytes: int = LARGEST_FILE + 64 * 1024
    """An image with what a multipart form puts around it."""
    json_bytes: int = 4_000_000
    """An array as text: about 150 pictures of 32 x 32 x 3, and at most 64 MB once read."""
    control_bytes: int = 64 * 1024
    body_s: float = 30.0
    """In which a request's body must have come."""
    header_s: float = 10.0
    """In which a connection must have sent a request's headers."""
    connections: int = 256
    """Over TCP."""
    streams: int = 64
    """Followers of events."""
    downloads: int = 4
    """Of the model, each with a copy of its own."""
    download_s: float = 600.0
    waiting: int = 16
    """Questions to the model, the one being answered included."""
    answer_s: float = 60.0
    """In which the model must have answered."""


class Rates:
    """A bucket of `burst` requests a client, refilled at `per_s`. One thread."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._buckets: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def take(self, client: object) -> float:
        """0 if one more request may come now, else the seconds until it may."""
        now = self._clock()
        left, then = self._buckets.pop(client, (float(self._burst), now))
        left = min(float(self._burst), left + (now - then) * self._per_s)
        self._buckets[client] = (max(0.0, left - 1.0) if left >= 1.0 else left, now)
        if len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if left >= 1.0 else (1.0 - left) / self._per_s


class Slots:
    """So many at a time, the next is refused: a context that raises `PeerBusy`. Any thread."""

    def __init__(self, size: int, what: str) -> None:
        """`what` in the plural, as in "downloads of the model"."""
        self._size, self._what, self._taken = size, what, 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._taken >= self._size:
                raise PeerBusy(f"This peer has {self._size} {self._what} under way, and takes no more for now. Try again in a moment.")
            self._taken += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            self._taken -= 1

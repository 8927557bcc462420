"""How a flat vector is cut into segments: a function of its length alone.

The cut does not depend on the swarm, so a segment's digest means the same to every peer in every round.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["SEGMENT_BYTES", "Segment", "cut", "smallest"]

SEGMENT_BYTES = 4 * 1024 * 1024  # the largest segment: long enough for full speed on TLS, short enough to pipeline
SMALLEST_BYTES = 64 * 1024  # below this a message costs more than its bytes
# 48 is a multiple of most numbers of trees (2, 3, 4, 6, 8, 12, 16), so each tree carries the same load.
GROUP = 48


@dataclass(slots=True)
class _Limits:
    smallest_bytes: int = SMALLEST_BYTES


_limits = _Limits()


class Segment(NamedTuple):
    """Elements [start, stop) of the flat vector."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Elements in the segment."""
        return self.stop - self.start


@lru_cache(maxsize=64)
def cut(elements: int, item_bytes: int = 4) -> tuple[Segment, ...]:
    """Cut `elements` elements into segments of equal length (the last may be shorter); at least one segment.

    From 3 MiB on their number is a multiple of 48 up to rounding, and none is longer than 4 MiB.
    """
    if elements < 0:
        raise ValueError(f"a vector has {elements} elements; expected 0 or more")
    size_bytes = elements * item_bytes
    if size_bytes <= GROUP * _limits.smallest_bytes:
        count = max(1, -(-size_bytes // _limits.smallest_bytes))
    else:
        count = GROUP * max(1, -(-size_bytes // (GROUP * SEGMENT_BYTES)))
    length = max(1, -(-elements // count))
    length += -length % 16 if length > 16 else 0  # segments start on a cache line
    starts = range(0, max(elements, 1), length)
    return tuple(Segment(start, min(start + length, elements)) for start in starts)


@contextmanager
def smallest(size_bytes: int) -> Generator[None, None, None]:
    """Let segments of this process be as small as `size_bytes` meanwhile: simulated models are small and have many of them."""
    before, _limits.smallest_bytes = _limits.smallest_bytes, size_bytes
    cut.cache_clear()
    try:
        yield
    finally:
        _limits.smallest_bytes = before
        cut.cache_clear()


def pieces(bounds: NDArray[np.int64], segment: Segment) -> tuple[NDArray[np.int64], int, int]:
    """The tensors that a segment touches.

    `bounds` int64[T+1] are the tensors' offsets in the flat vector. Returns (offsets int64[t+1] relative to the segment's
    start, first tensor, one past the last): tensors `first:last` have pieces in the segment.
    """
    first = int(np.searchsorted(bounds, segment.start, side="right")) - 1
    last = int(np.searchsorted(bounds, segment.stop, side="left"))
    inner = bounds[first : last + 1].clip(segment.start, segment.stop) - segment.start
    return np.ascontiguousarray(inner), first, last

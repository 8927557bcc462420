"""How long a phase may take: a multiple of the median of recent ones, between a floor and a ceiling."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import median

__all__ = ["Recent", "bounded"]

REMEMBERED = 64


class Recent:
    """Recent durations of a phase, in seconds."""

    def __init__(self, durations_s: Iterable[float] = ()) -> None:
        """`durations_s`: those that are known already, oldest first."""
        self._durations: deque[float] = deque(durations_s, maxlen=REMEMBERED)

    def add(self, duration_s: float) -> None:
        """One more; late ones count too, so that a swarm that slows down is given time."""
        self._durations.append(duration_s)

    def deadline(self, factor: float, floor_s: float, ceiling_s: float) -> float:
        """Factor x median within the bounds; the ceiling while nothing is known."""
        return bounded(factor * median(self._durations), floor_s, ceiling_s) if self._durations else ceiling_s


def bounded(value: float, floor: float, ceiling: float) -> float:
    """The value, no less than the floor and no more than the ceiling."""
    return min(max(value, floor), ceiling)

"""How long a phase may take: a multiple of the median of recent ones, between a floor and a ceiling."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import median

from pyfl.rounds.history import HistoryRecord
from pyfl.rounds.records import PREPARATION, Deadlines

__all__ = ["Pace", "bounded"]

REMEMBERED = 64
TRAININGS, REDUCES = 2.0, 4.0  # so many medians


class Pace:
    """How long the swarm's recent trainings and reduces took, in seconds. Round 0's time for other work says nothing of a round's."""

    def __init__(self, history: HistoryRecord | None = None) -> None:
        """`history`: of the rounds under whoever led before, so that deadlines go on and do not begin at their ceilings."""
        rounds = [r for r in history.rounds if r.round > PREPARATION and not r.void] if history else []
        self._trainings = deque((r.train_s for r in rounds), maxlen=REMEMBERED)
        self._reduces = deque((r.reduce_s for r in rounds), maxlen=REMEMBERED)

    def trained(self, number: int, durations_s: Iterable[float]) -> None:
        """Trainings of a round; late ones count too, or a deadline that leaves most of them out would never grow."""
        if number > PREPARATION:
            self._trainings.extend(durations_s)

    def reduced(self, number: int, duration_s: float) -> None:
        """A round's reduce."""
        if number > PREPARATION:
            self._reduces.append(duration_s)

    def training_s(self, limits: Deadlines) -> float:
        """How long the next training may take; the ceiling while nothing is known."""
        floor, ceiling = limits.train_floor_s, limits.train_ceiling_s
        return bounded(TRAININGS * median(self._trainings), floor, ceiling) if self._trainings else ceiling

    def reduce_s(self, limits: Deadlines) -> float:
        """How long a reduce may take; the ceiling while nothing is known."""
        floor, ceiling = limits.reduce_floor_s, limits.reduce_ceiling_s
        return bounded(REDUCES * median(self._reduces), floor, ceiling) if self._reduces else ceiling


def bounded(value: float, floor: float, ceiling: float) -> float:
    """The value, no less than the floor and no more than the ceiling."""
    return min(max(value, floor), ceiling)

"""What the peers of a chaos run have said so far, in the order in which it was heard, and where the swarm stands by it."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from pyfl import events
from pyfl.chaos.plan import PHASES
from pyfl.events import Stamped

__all__ = ["Chronicle", "Said"]


class Said(NamedTuple):
    """An event, and whose: by index, which a peer keeps through wipes; its id it may not."""

    who: int
    event: Stamped


class Chronicle:
    """Grows by `take`."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.index_of: dict[str, int] = {}
        """Of every id that has spoken."""
        self.coordinator = ""
        self.opened, self.committed = 0, -1
        """The newest rounds of which this was heard."""
        self.opened_at: dict[int, float] = {}
        """Monotonic seconds."""
        self.committed_at: dict[int, float] = {}
        self.commits: dict[int, events.RoundCommitted] = {}
        """As they were heard first."""
        self._seen: Counter[tuple[int, str]] = Counter()

    def take(self, index: int, event: Stamped) -> None:
        """One event more."""
        self.said.append(Said(index, event))
        self.index_of[event.peer] = index
        match event.data:
            case events.CoordinatorChanged(coordinator=coordinator) if coordinator:
                self.coordinator = coordinator
            case events.RoundOpened(round=number):
                self.opened = max(self.opened, number)
                self.opened_at.setdefault(number, event.monotonic)
                self._seen[number, "train"] += 1
            case events.ReduceStarted(round=number):
                self._seen[number, "reduce"] += 1
            case events.ResultHeld(round=number):
                self._seen[number, "hold"] += 1
            case events.RoundCommitted(round=number):
                self.committed = max(self.committed, number)
                self.committed_at.setdefault(number, event.monotonic)
                self.commits.setdefault(number, event.data)
                self._seen[number, "between"] += 1
            case _:
                pass

    def reached(self, number: int, phase: str) -> int:
        """How many peers have said that they are in this phase of a round, or that it is over for all."""
        past = sum(self._seen[number, later] for later in PHASES[PHASES.index(phase) + 1 :])
        return self._seen[number, phase] if not past else max(self._seen[number, phase], past)

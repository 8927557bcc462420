"""When the next planned fault is due: its round has been opened, and its phase reached by as many peers as it was drawn for."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from pyfl.chaos.chronicle import Chronicle
from pyfl.chaos.plan import Planned

__all__ = ["Pacing"]

AFTER_COMMIT_S = 0.1
OF_TRAINING = 0.9


class Pacing:
    """Hands out the plan in order. A fault that may not be done when it is due waits for a later round; one more a round at most."""

    def __init__(self, plan: Sequence[Planned], per_round: float, train_s: float) -> None:
        self._waiting = list(plan)
        self._a_round = max(1, ceil(per_round))
        self._train_s = train_s
        self._done: dict[int, int] = {}
        self._not_before = 0
        self._armed: int | None = None
        """The round in which the next fault is to be done."""

    @property
    def left(self) -> int:
        """How many are still to come."""
        return len(self._waiting)

    def due(self, chronicle: Chronicle, peers: int, now: float) -> tuple[Planned, int, str] | None:
        """The fault to be done now with the round and the phase that it is done in; None while none is."""
        if not self._waiting:
            return None
        planned = self._waiting[0]
        number = self._arm(planned, chronicle.opened)
        if number is None:
            return None
        over = chronicle.committed >= number
        if planned.phase == "between":
            ready = over and now >= chronicle.committed_at[number] + planned.at * AFTER_COMMIT_S
        elif planned.phase == "train":
            ready = now >= chronicle.opened_at[number] + planned.at * OF_TRAINING * self._train_s
        else:
            ready = chronicle.reached(number, planned.phase) >= 1 + int(planned.at * peers)
        if not ready and (planned.phase == "between" or not over):
            return None  # a phase that went by unseen is made up for after the commit
        return planned, number, "between" if over else planned.phase

    def _arm(self, planned: Planned, opened: int) -> int | None:
        if self._armed is None and opened >= max(planned.round, self._not_before, 1) and self._done.get(opened, 0) < self._a_round:
            self._armed = opened
        return self._armed

    def take(self, number: int) -> None:
        """The due fault was done in this round."""
        self._waiting.pop(0)
        self._armed = None
        self._done[number] = self._done.get(number, 0) + 1

    def put_off(self, number: int) -> None:
        """The due fault may not be done in this round."""
        self._armed = None
        self._not_before = number + 1

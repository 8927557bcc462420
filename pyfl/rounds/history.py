"""The record of past rounds. Apart from the other records: it needs no arithmetic, so that a view of a swarm can read it alone."""

from __future__ import annotations

import msgspec

__all__ = ["HISTORY", "HISTORY_ROUNDS", "Committed", "HistoryRecord"]

HISTORY = "history/swarm"
HISTORY_ROUNDS = 16


class Committed(msgspec.Struct, frozen=True):
    """One committed round in the history."""

    round: int
    epoch: int
    model: str
    state: str
    contributors: tuple[str, ...]
    void: bool = False
    accuracy: float | None = None
    loss: float | None = None
    train_s: float = 0.0
    reduce_s: float = 0.0


class HistoryRecord(msgspec.Struct, frozen=True):
    """The last 16 committed rounds, oldest first."""

    rounds: tuple[Committed, ...] = ()

    def after(self, committed: Committed) -> HistoryRecord:
        """With one more round, and the oldest forgotten."""
        return HistoryRecord((*self.rounds, committed)[-HISTORY_ROUNDS:])

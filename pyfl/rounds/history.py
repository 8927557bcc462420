"""The record of past rounds. Apart from the other records: it needs no arithmetic, so that a view of a swarm can read it alone."""

from __future__ import annotations

import msgspec

from pyfl.rounds.early_stopping import Best, EarlyStopping, follow

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
    scored: bool = False
    """Accuracy and loss are over held-out data; otherwise the loss is the mean of training."""
    residuals: dict[str, int] = {}
    """Contributors whose update had an older one in it, which its own round had not counted: the round that it was of."""


class HistoryRecord(msgspec.Struct, frozen=True):
    """The last 16 committed rounds, oldest first, and the best of all of them."""

    rounds: tuple[Committed, ...] = ()
    best: Best | None = None

    def after(self, committed: Committed, rule: EarlyStopping | None = None) -> HistoryRecord:
        """With one more round, and the oldest forgotten. `rule`: the run's, which says what better means."""
        return HistoryRecord((*self.rounds, committed)[-HISTORY_ROUNDS:], follow(self.best, committed, rule))

"""Where a training script and its peer meet: a `FlatTrainer` whose rounds are trained by somebody else's loop, in another thread.

The peer's thread puts a turn down and waits; the script's thread takes it, trains from its base, and gives its weights back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pyfl.training.layout import Layout
from pyfl.training.trainer import Evaluation, RoundInfo, TrainOutcome

__all__ = ["Handover", "Turn"]

Flat = NDArray[np.float32]

# How often a waiting turn looks whether its round is over: `stop` has no event to wait for.
LOOK_S = 0.1
# How long after its deadline a turn still waits for the script, which looks after every batch. The deadline that a trainer is told
# leaves a tenth of the round's time for this.
GRACE_S = 2.0


@dataclass(eq=False)
class Turn:
    """One round as the script's thread sees it."""

    base: Flat
    """The committed weights to train from; read-only, valid while the turn is not over."""
    out: Flat
    info: RoundInfo
    stop: Callable[[], bool]
    """Whether the round wants what there is now."""
    outcome: TrainOutcome | None = None
    over: bool = False
    """The round went on without this peer."""
    handing: bool = field(default=False)


class Handover:
    """`train` and `evaluate` are the peer's; `next_turn` and `give` the script's; `close` anybody's."""

    def __init__(self, layout: Layout, initial: Callable[[Flat], None]) -> None:
        self._layout, self._initial = layout, initial
        self._changed = threading.Condition()
        self._turn: Turn | None = None
        self._closed = False

    # ---- a FlatTrainer

    @property
    def layout(self) -> Layout:
        """The model's tensors."""
        return self._layout

    def initial(self, out: Flat) -> None:
        """The weights that the model had when training began."""
        self._initial(out)

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:
        """Wait for the script to train this round; without samples when it does not come in time."""
        turn = Turn(base, out, info, stop)
        with self._changed:
            self._turn = turn
            self._changed.notify_all()
            stopped_at: float | None = None
            while turn.outcome is None and not self._closed:
                self._changed.wait(LOOK_S)
                if turn.handing or not stop():
                    continue
                now = time.monotonic()
                stopped_at = stopped_at if stopped_at is not None else now
                # At a deadline what there is is wanted; otherwise the round was closed, and nothing is.
                due = info.deadline_s is not None and now >= info.deadline_s
                if not due or now - stopped_at > GRACE_S:
                    break
            turn.over = turn.outcome is None
            self._turn = None
        return turn.outcome or TrainOutcome(0)

    def evaluate(self, weights: Flat, share: tuple[int, int]) -> Evaluation | None:  # noqa: ARG002
        """The script evaluates for itself."""
        return None

    # ---- the script

    def next_turn(self) -> Turn | None:
        """Wait for the next round; None when there is none any more."""
        with self._changed:
            # With a timeout, so that Ctrl-C is seen on every system.
            while not self._changed.wait_for(lambda: self._turn is not None or self._closed, 0.5):
                pass
            return self._turn

    def give(self, turn: Turn, store: Callable[[Flat], None], outcome: TrainOutcome) -> bool:
        """Give the round its weights, which `store` writes; False when it was over already."""
        with self._changed:
            if turn.over or self._closed:
                return False
            turn.handing = True
        store(turn.out)
        with self._changed:
            turn.outcome = outcome
            if self._turn is turn:
                self._turn = None
            self._changed.notify_all()
        return True

    def close(self) -> None:
        """There are no more rounds."""
        with self._changed:
            self._closed = True
            self._turn = None
            self._changed.notify_all()

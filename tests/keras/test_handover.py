"""The meeting place of a script's `fit` and its peer's rounds: nobody waits for ever, and nothing is handed over twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from pyfl.keras.handover import Handover, Turn
from pyfl.training import Layout, RoundInfo, TensorSpec, TrainOutcome

LAYOUT = Layout((TensorSpec("weights", (2,)),))
BASE = np.zeros(2, np.float32)
WAIT_S = 30.0


def write_ones(out: np.ndarray) -> None:
    out.fill(1.0)


class Round(threading.Thread):
    """The peer's side of one round."""

    def __init__(self, handover: Handover, stop: Callable[[], bool], deadline_s: float | None = None) -> None:
        super().__init__(daemon=True)
        self.out = np.zeros(2, np.float32)
        self.outcome: TrainOutcome | None = None
        self._arguments = (handover, stop, RoundInfo(1, 9, deadline_s=deadline_s))
        self.start()

    def run(self) -> None:
        handover, stop, info = self._arguments
        self.outcome = handover.train(BASE, self.out, info, stop)

    def ended(self) -> TrainOutcome:
        self.join(WAIT_S)
        assert self.outcome is not None
        return self.outcome


def next_turn(handover: Handover) -> Turn:
    turn = handover.next_turn()
    assert turn is not None
    return turn


def test_what_the_script_gives_is_what_the_round_gets() -> None:
    handover = Handover(LAYOUT, write_ones)
    peer = Round(handover, lambda: False)
    assert handover.give(next_turn(handover), write_ones, TrainOutcome(5))
    assert peer.ended().samples == 5
    assert peer.out.tolist() == [1.0, 1.0]


def test_at_a_deadline_the_script_is_still_waited_for() -> None:
    handover = Handover(LAYOUT, write_ones)
    peer = Round(handover, lambda: True, deadline_s=time.monotonic())
    turn = next_turn(handover)
    assert turn.stop()
    assert handover.give(turn, write_ones, TrainOutcome(3))
    assert peer.ended().samples == 3


def test_a_round_that_was_closed_is_over_and_takes_nothing_more() -> None:
    handover, closed = Handover(LAYOUT, write_ones), threading.Event()
    peer = Round(handover, closed.is_set)
    turn = next_turn(handover)
    closed.set()
    assert peer.ended().samples == 0
    assert turn.over
    assert not handover.give(turn, write_ones, TrainOutcome(3))
    assert peer.out.tolist() == [0.0, 0.0]


def test_closing_wakes_both_sides() -> None:
    handover = Handover(LAYOUT, write_ones)
    peer = Round(handover, lambda: False)
    turn = next_turn(handover)
    handover.close()
    assert peer.ended().samples == 0
    assert handover.next_turn() is None
    assert not handover.give(turn, write_ones, TrainOutcome(3))

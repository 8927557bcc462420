"""The trainer of simulated runs: one-hot probes in every segment, an update that is not finite, a training that never ends by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyfl.apps.onehot import OneHotTrainer
from pyfl.training.trainer import Flat, RoundInfo, TrainOutcome

__all__ = ["SEGMENT_BYTES", "STRIDE", "Probe", "StillTraining"]

STRIDE = 16
SEGMENT_BYTES = STRIDE * 4
"""One stride: simulated runs let segments be so small."""


class StillTraining(Exception):
    """This training goes on; whoever ran it asks again later."""


class Probe(OneHotTrainer):
    """Adds 1 at its own coordinate of every 16 values, which is every segment; in `bad_rounds` its update is NaN."""

    def __init__(self, index: int, samples: int = 1, bad_rounds: frozenset[int] = frozenset(), values: int = 400) -> None:
        super().__init__(values * 4, index, stride=STRIDE, tensors=3, train_s=0.0, samples=samples)
        self.bad_rounds = bad_rounds
        self.grinds: Callable[[], bool] = lambda: False
        """While this is so, training goes on until it is told to stop: it raises `StillTraining` instead of ending."""

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:
        """As `OneHotTrainer`, but for the bad rounds and the grinding."""
        if self.grinds() and not stop():
            raise StillTraining
        outcome = super().train(base, out, info, stop)
        if info.number in self.bad_rounds:
            out[7] = np.nan
        return outcome

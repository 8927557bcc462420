"""FedAvgM: server momentum on the mean update.

Hsu, Qi, Brown, Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification, 2019
(https://arxiv.org/abs/1909.06335).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyfl import kernels
from pyfl.aggregation.strategy import Strategy, make, register

__all__ = ["fedavgm"]

Flat = NDArray[np.float32]


class _Step:
    state_vectors = 1

    def __init__(self, momentum: float, learning_rate: float) -> None:
        self._momentum, self._lr = momentum, learning_rate

    def __call__(self, out: Flat, base: Flat, delta: Flat, state: list[Flat], new_state: list[Flat]) -> None:
        kernels.step_momentum(out, new_state[0], base, delta, state[0], self._momentum, self._lr)


register("fedavgm", _Step, {"momentum": 0.9, "learning_rate": 1.0})


def fedavgm(momentum: float = 0.9, learning_rate: float = 1.0) -> Strategy:
    """M = momentum * m + mean update; new = base + learning_rate * m."""
    return make("fedavgm", momentum=momentum, learning_rate=learning_rate)

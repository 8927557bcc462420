"""FedAvg: the weighted mean of the clients' models.

McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data, AISTATS 2017
(https://arxiv.org/abs/1602.05629).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyfl import kernels
from pyfl.aggregation.strategy import Strategy, make, register

__all__ = ["fedavg"]

Flat = NDArray[np.float32]


class _Step:
    state_vectors = 0

    def __init__(self, learning_rate: float) -> None:
        self._lr = learning_rate

    def __call__(self, out: Flat, base: Flat, delta: Flat, state: list[Flat], new_state: list[Flat]) -> None:
        kernels.step_plain(out, base, delta, self._lr)


register("fedavg", _Step, {"learning_rate": 1.0})


def fedavg(learning_rate: float = 1.0) -> Strategy:
    """New = base + learning_rate * mean update."""
    return make("fedavg", learning_rate=learning_rate)

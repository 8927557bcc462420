"""FedAdam: Adam at the server, without bias correction as its authors have it.

Reddi et al., Adaptive Federated Optimization, ICLR 2021 (https://arxiv.org/abs/2003.00295), algorithm 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyfl import kernels
from pyfl.aggregation.strategy import Strategy, make, register

__all__ = ["fedadam"]

Flat = NDArray[np.float32]


class _Step:
    state_vectors = 2

    def __init__(self, learning_rate: float, beta1: float, beta2: float, tau: float) -> None:
        self._scalars = (beta1, 1.0 - beta1, beta2, 1.0 - beta2, learning_rate, tau)

    def __call__(self, out: Flat, base: Flat, delta: Flat, state: list[Flat], new_state: list[Flat]) -> None:
        kernels.step_adam(out, new_state[0], new_state[1], base, delta, state[0], state[1], *self._scalars)


register("fedadam", _Step, {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "tau": 1e-3})


def fedadam(learning_rate: float = 0.1, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3) -> Strategy:
    """m, v = moments of the mean update; new = base + learning_rate * m / (sqrt(v) + tau)."""
    return make("fedadam", learning_rate=learning_rate, beta1=beta1, beta2=beta2, tau=tau)

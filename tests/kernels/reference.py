"""The kernels again in plain numpy, float32 operation by float32 operation: what every clone must equal."""

# pyright: reportReturnType=false
# numpy's types say float64 for a float32 array times a float32 scalar; the tests compare the bits.

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from pyfl.simulation.plain import F32, I32, I64, add, by_value, dequantise, quantise

__all__ = ["add", "beyond", "dequantise", "exponents", "quantise", "step_adam", "step_momentum", "step_plain"]

ZERO_EXPONENT = -(2**31)


def exponents(x: F32, bounds: I64) -> tuple[list[int], bool]:
    found: list[int] = []
    for start, end in itertools.pairwise(bounds):
        largest = max((abs(float(v)) for v in x[start:end]), default=0.0)
        found.append(math.frexp(largest)[1] if largest else ZERO_EXPONENT)
    return found, bool(np.isfinite(x).all())


def beyond(x: I32, bounds: I64, limits: NDArray[np.uint32]) -> int:
    return int((np.abs(x.astype(np.int64)) > by_value(limits, bounds)).sum())


def step_plain(base: F32, delta: F32, lr: np.float32) -> F32:
    return base + lr * delta


def step_momentum(base: F32, delta: F32, m: F32, beta: np.float32, lr: np.float32) -> tuple[F32, F32]:
    new_m = beta * m + delta
    return base + lr * new_m, new_m


def step_adam(base: F32, delta: F32, m: F32, v: F32, s: list[np.float32]) -> tuple[F32, F32, F32]:
    beta1, one_minus_beta1, beta2, one_minus_beta2, lr, tau = s
    new_m = beta1 * m + one_minus_beta1 * delta
    new_v = beta2 * v + one_minus_beta2 * (delta * delta)
    return base + lr * new_m / (np.sqrt(new_v) + tau), new_m, new_v

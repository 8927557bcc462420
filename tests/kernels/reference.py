"""The kernels again in plain numpy, float32 operation by float32 operation: what every clone must equal."""

# pyright: reportReturnType=false
# numpy's types say float64 for a float32 array times a float32 scalar; the tests compare the bits.

from __future__ import annotations

import itertools
import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

T = TypeVar("T", bound=np.generic)

ZERO_EXPONENT = -(2**31)
LARGEST_PRODUCT = np.float32(2147483520.0)


def by_value(per_piece: NDArray[T], bounds: I64) -> NDArray[T]:
    """Spread one value a piece over the values of the piece."""
    return np.repeat(per_piece, np.diff(bounds))


def exponents(x: F32, bounds: I64) -> tuple[list[int], bool]:
    found: list[int] = []
    for start, end in itertools.pairwise(bounds):
        largest = max((abs(float(v)) for v in x[start:end]), default=0.0)
        found.append(math.frexp(largest)[1] if largest else ZERO_EXPONENT)
    return found, bool(np.isfinite(x).all())


def quantise(update: F32, bounds: I64, multipliers: F32, clips: F32) -> I32:
    clip = by_value(clips, bounds)
    product = np.clip(update, -clip, clip) * by_value(multipliers, bounds)
    held = np.nan_to_num(np.clip(product, -LARGEST_PRODUCT, LARGEST_PRODUCT), nan=0.0)
    return np.rint(held.astype(np.float64)).astype(np.int64).astype(np.int32)


def add(acc: I32, x: I32) -> I32:
    return (acc.astype(np.int64) + x).astype(np.uint32).view(np.int32)


def beyond(x: I32, bounds: I64, limits: NDArray[np.uint32]) -> int:
    return int((np.abs(x.astype(np.int64)) > by_value(limits, bounds)).sum())


def dequantise(total: I32, bounds: I64, inverse_scales: F32, ratio: np.float32) -> F32:
    return total.astype(np.float32) * by_value(inverse_scales, bounds) * ratio


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

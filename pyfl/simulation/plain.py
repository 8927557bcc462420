"""A round's sum again in plain numpy, float32 operation by float32 operation: what the kernels and the trees must equal."""

# pyright: reportReturnType=false
# numpy's types say float64 for a float32 array times a float32 scalar; what is compared are the bits.

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["F32", "I32", "I64", "add", "by_value", "dequantise", "quantise"]

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

T = TypeVar("T", bound=np.generic)

LARGEST_PRODUCT = np.float32(2147483520.0)


def by_value(per_piece: NDArray[T], bounds: I64) -> NDArray[T]:
    """Spread one value a piece over the values of the piece; `bounds` int64[pieces + 1]."""
    return np.repeat(per_piece, np.diff(bounds))


def quantise(update: F32, bounds: I64, multipliers: F32, clips: F32) -> I32:
    """A peer's update in fixed point: clipped, scaled by its piece's multiplier, rounded to nearest even; NaN counts as 0."""
    clip = by_value(clips, bounds)
    product = np.clip(update, -clip, clip) * by_value(multipliers, bounds)
    held = np.nan_to_num(np.clip(product, -LARGEST_PRODUCT, LARGEST_PRODUCT), nan=0.0)
    return np.rint(held.astype(np.float64)).astype(np.int64).astype(np.int32)


def add(acc: I32, x: I32) -> I32:
    """The sum modulo 2^32."""
    return (acc.astype(np.int64) + x).astype(np.uint32).view(np.int32)


def dequantise(total: I32, bounds: I64, inverse_scales: F32, ratio: np.float32) -> F32:
    """The mean update that a sum stands for."""
    return total.astype(np.float32) * by_value(inverse_scales, bounds) * ratio

"""A ring vector of int64 as one of int32 with the same sums, so that it can travel as a round's contribution does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyfl.errors import DataError
from pyfl.preparation.statistic import Ring

__all__ = ["LIMBS", "MOST_PEERS", "from_wire", "to_wire"]

LIMBS = 4
LIMB_BITS = 16
MOST_PEERS = 1 << 16
"""Sums of so many limbs still fit in the 32 bits of a value."""


def to_wire(vector: Ring) -> NDArray[np.int32]:
    """Each value as four limbs of 16 bits, int32[4 n]. Added modulo 2^32 by up to 65,536 peers, no limb loses a carry."""
    limbs = np.ascontiguousarray(vector, "<i8").view("<u2")
    return limbs.astype(np.int32)


def from_wire(total: NDArray[np.int32]) -> Ring:
    """The sum modulo 2^64 of the vectors whose limbs were added up, int64[n]."""
    if total.dtype != np.int32 or total.ndim != 1 or len(total) % LIMBS:
        raise DataError(f"A sum of {total.dtype}{list(total.shape)} is not one of limbs; expected int32, a multiple of {LIMBS} of them.")
    limbs = total.view(np.uint32).astype(np.uint64).reshape(-1, LIMBS)
    shifts = np.arange(LIMBS, dtype=np.uint64) * np.uint64(LIMB_BITS)
    return (limbs << shifts).sum(axis=1, dtype=np.uint64).view(np.int64)

"""The arithmetic of the preparation, round 0: limbs of integer statistics are added modulo 2^32, without a scale.

The summed limbs are the last vector of the server state from then on, so that they are held, committed, checkpointed, lent and pulled
as everything else that a round needs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyfl.preparation.wire import LIMBS
from pyfl.wire.segments import cut

__all__ = ["Sums"]

LARGEST_LIMB = (1 << 16) - 1

Limbs = NDArray[np.int32]


class Sums:
    """A peer's own limbs, int32[4 n], and how partial sums are added."""

    def __init__(self, numbers: int) -> None:
        """`numbers`: of int64 that are summed."""
        self.segments = cut(LIMBS * numbers)
        self.own: Limbs = np.zeros(LIMBS * numbers, np.int32)

    def fill(self, total: Limbs, index: int, *, contributes: bool) -> None:
        """Set total to this peer's limbs of a segment, or zero for a receiver."""
        segment = self.segments[index]
        total[:] = self.own[segment.start : segment.stop] if contributes else 0

    @staticmethod
    def add(total: Limbs, partial: Limbs, contributors: int) -> int:
        """Add a partial if each limb can be a sum of so many peers'; returns how many cannot."""
        beyond = int(np.count_nonzero(partial.view(np.uint32) > min(LARGEST_LIMB * contributors, 2**32 - 1)))
        if not beyond:
            np.add(total, partial, out=total)
        return beyond

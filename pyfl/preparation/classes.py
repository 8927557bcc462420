"""Which classes there are among all peers' labels, and how often each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyfl.datasets.dataset import check_labels
from pyfl.errors import DataError
from pyfl.preparation.statistic import Ring

__all__ = ["ClassCounts", "Classes"]


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """The classes that some peer has, in order, and how many samples of each there are."""

    classes: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Classes:
    """Labels 0..at_most-1, of which perhaps not all occur."""

    at_most: int

    @property
    def length(self) -> int:
        """Of the vector."""
        return self.at_most

    def local(self, data: NDArray[Any]) -> Ring:
        """Of labels int[N]. Raises `DataError` naming the first that is out of range."""
        check_labels(data, self.at_most, "training")
        return np.bincount(data.astype(np.int64), minlength=self.at_most).astype(np.int64)

    def finish(self, total: Ring) -> ClassCounts:
        """Raises `DataError` when there are no labels at all."""
        present = np.flatnonzero(total)
        if not len(present):
            raise DataError("The peers have no labels between them.")
        return ClassCounts(tuple(present.tolist()), tuple(total[present].tolist()))

"""A dataset: labelled samples to divide among the peers, and held-out ones that all share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyfl.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Dataset", "stratified_split"]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Samples along axis 0; labels are integers 0..classes-1. Raises `DataError` when arrays do not fit."""

    x_train: NDArray[np.float32]
    y_train: NDArray[np.int32]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int32]
    classes: int

    def __post_init__(self) -> None:
        for part, x, y in (("training", self.x_train, self.y_train), ("held-out", self.x_test, self.y_test)):
            if len(x) != len(y):
                raise DataError(f"The {part} data has {len(x)} samples and {len(y)} labels; each sample needs one.")
            if y.size and not 0 <= int(y.min()) <= int(y.max()) < self.classes:
                raise DataError(f"The {part} labels run from {y.min()} to {y.max()}; expected 0 to {self.classes - 1}.")


def stratified_split(labels: NDArray[Any], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted indices to train on and to hold out; of each class the same `share` is held out, rounded."""
    draw = np.random.default_rng(seed)
    held_out: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        members = draw.permutation(np.flatnonzero(labels == label))
        held_out.append(members[: round(share * len(members))])
    test = np.sort(np.concatenate(held_out)) if held_out else np.empty(0, np.int64)
    return np.setdiff1d(np.arange(len(labels)), test), test

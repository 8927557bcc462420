"""A dataset: labelled samples to divide among the peers, and held-out ones that all share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyfl.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Dataset", "check_labels", "stratified_split"]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Samples along axis 0, of the type that the model takes; labels are integers 0..classes-1.

    Raises `DataError` when arrays do not fit, naming the first label that is out of range.
    """

    x_train: NDArray[Any]
    y_train: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]
    classes: int
    groups: NDArray[Any] | None = None
    """Who or what each training sample comes from (a writer, a device), for the partitioner `natural`."""

    def __post_init__(self) -> None:
        for part, x, y in (("training", self.x_train, self.y_train), ("held-out", self.x_test, self.y_test)):
            if len(x) != len(y):
                raise DataError(f"The {part} data has {len(x)} samples and {len(y)} labels; each sample needs one.")
            check_labels(y, self.classes, part)
        if self.groups is not None and len(self.groups) != len(self.y_train):
            raise DataError(f"There are {len(self.y_train)} training samples and {len(self.groups)} groups; each sample needs one.")

    def part(self, chosen: NDArray[np.int64]) -> Dataset:
        """The same with only the chosen training samples."""
        groups = None if self.groups is None else self.groups[chosen]
        return replace(self, x_train=self.x_train[chosen], y_train=self.y_train[chosen], groups=groups)


def check_labels(labels: NDArray[Any], classes: int, part: str) -> None:
    """Raise `DataError` naming the first label that is not one of 0..classes-1, and its place."""
    if labels.ndim != 1:
        raise DataError(f"The {part} labels have shape {labels.shape}; expected one class number a sample, as in [3, 0, 7].")
    if not labels.size:
        return
    wrong = np.flatnonzero(~((labels >= 0) & (labels < classes) & (labels == np.floor(labels))))
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"Label {first} of the {part} data is {labels[first].item()!r} (and {len(wrong) - 1} more are out of range); "
            f"expected whole numbers from 0 to {classes - 1}."
        )


def stratified_split(labels: NDArray[Any], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted indices to train on and to hold out; of each class the same `share` is held out, rounded."""
    draw = np.random.default_rng(seed)
    held_out: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        members = draw.permutation(np.flatnonzero(labels == label))
        held_out.append(members[: round(share * len(members))])
    test = np.sort(np.concatenate(held_out)) if held_out else np.empty(0, np.int64)
    return np.setdiff1d(np.arange(len(labels)), test), test

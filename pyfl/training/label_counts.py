"""How many samples of each class there are, from a model's targets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["label_counts"]

MOST_CLASSES = 1000  # beyond that whole numbers are no classes, but something counted or measured


def label_counts(y: Any) -> dict[int, int]:
    """Samples by label of `y`: whole numbers [N] or [N, 1], or one-hot [N, classes]. Empty for anything else."""
    if isinstance(y, dict | list | tuple) or not hasattr(y, "shape"):
        return {}
    values: NDArray[Any] = np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2 and values.dtype.kind in "iufb":
        if not (np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all()):
            return {}
        values = values.argmax(axis=1)
    if values.ndim != 1 or values.dtype.kind not in "iu" or not values.size or values.min() < 0:
        return {}
    found, counts = np.unique(values, return_counts=True)
    if len(found) > MOST_CLASSES:
        return {}
    return dict(zip(found.tolist(), counts.tolist(), strict=True))

"""scikit-learn's digits: 1,797 images of 8 x 8 in 17 grey levels, inside its wheel, so that no network is needed.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998
(doi:10.24432/C50P49).
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from pyfl.datasets.dataset import Dataset, stratified_split
from pyfl.errors import DataError

__all__ = ["digits"]

HELD_OUT = 0.2
# The split is part of the dataset: every peer, run and version holds out the same images.
SPLIT_SEED = 1797


def digits() -> Dataset:
    """Images float32[N, 8, 8, 1] in 0..1, labels int32[N]; a fixed, stratified fifth is held out.

    Raises `DataError` where scikit-learn is not installed.
    """
    try:
        # By name, and so untyped: scikit-learn has no annotations.
        load_digits: Any = importlib.import_module("sklearn.datasets").load_digits
    except ImportError as error:
        raise DataError(f"The digits come with scikit-learn, which could not be imported: {error}. Install scikit-learn.") from error
    images, labels = load_digits(return_X_y=True)
    x = (np.asarray(images) / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    y = np.asarray(labels).astype(np.int32)
    train, test = stratified_split(y, HELD_OUT, SPLIT_SEED)
    return Dataset(x[train], y[train], x[test], y[test], classes=10)

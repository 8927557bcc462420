"""CIFAR-10: 60,000 colour images of 32 x 32 in ten classes, from a file or from what Keras has downloaded.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyfl.datasets.dataset import Dataset
from pyfl.datasets.npz import images_from_npz
from pyfl.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CLASSES", "cifar10"]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (32, 32, 3)
BATCHES = "cifar-10-batches-py"
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"


def cifar10(data: str = "", download: int = 0) -> Dataset:
    """Images uint8[N, 32, 32, 3], labels int32[N]; 50,000 to train on, 10,000 held out.

    From `data`, an .npz or a folder `cifar-10-batches-py`; else from Keras's cache; else, only with `download`, Keras
    fetches it. Raises `DataError` saying how to get it.
    """
    if data:
        path = Path(data).expanduser()
        return _from_batches(path) if path.is_dir() else images_from_npz(path, SHAPE, 10)
    cache = _keras_cache()
    for folder in _cached_folders(cache):
        if (folder / "data_batch_1").exists():
            return _from_batches(folder)
    cached = cache / "cifar10.npz"
    if cached.exists():
        return images_from_npz(cached, SHAPE, 10)
    if download:
        return _downloaded()
    raise DataError(
        f"CIFAR-10 is not on this machine: there is neither {cache / BATCHES} nor {cached}. Any of these will do:\n"
        "  --data FILE.npz, with x_train, y_train, x_test, y_test; copy it from another machine\n"
        f"  put {URL} (170 MB) into {cache} and unpack it there\n"
        "  --app cifar10:download=1, which lets Keras download it"
    )


def _keras_cache() -> Path:
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path("~/.keras").expanduser()) / "datasets"


def _cached_folders(cache: Path) -> list[Path]:
    """Where older versions of Keras unpack, and where newer ones do."""
    return [cache / BATCHES, cache / f"{BATCHES}-target" / BATCHES]


def _downloaded() -> Dataset:
    from pyfl.training.tensorflow_runtime import import_keras

    keras = import_keras()
    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
    except Exception as error:  # Keras raises bare Exceptions for what goes wrong on the network
        raise DataError(
            f"Keras could not download CIFAR-10: {error}. Copy it from another machine and name it: --data FILE.npz."
        ) from error
    return Dataset(x_train, y_train[:, 0].astype(np.int32), x_test, y_test[:, 0].astype(np.int32), 10)


def _from_batches(folder: Path) -> Dataset:
    parts = [_batch(folder / f"data_batch_{number}") for number in range(1, 6)]
    x_test, y_test = _batch(folder / "test_batch")
    return Dataset(np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts]), x_test, y_test, 10)


class _ArraysOnly(pickle.Unpickler):
    """The batches are pickles of NumPy arrays: nothing else is let out of one."""

    ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} has no place in it")
        return super().find_class(module_name, global_name)


def _batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    try:
        with path.open("rb") as file:
            content: dict[bytes, Any] = _ArraysOnly(file, encoding="bytes").load()
        pixels = np.asarray(content[b"data"], np.uint8).reshape(-1, 3, 32, 32)
        labels = np.asarray(content[b"labels"], np.int32)
    except (OSError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a batch of CIFAR-10: {error}. Expected the files of {URL}.") from error
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), labels

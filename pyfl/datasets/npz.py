"""Images from a NumPy archive with x_train, y_train, x_test and y_test: what Keras caches, and what `--data FILE` names."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyfl.datasets.dataset import Dataset
from pyfl.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["images_from_npz"]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def images_from_npz(path: Path, shape: tuple[int, int, int], classes: int) -> Dataset:
    """Images uint8[N, height, width, channels] of `shape` and labels int32[N].

    Labels may be a column; a single channel may be missing from the shape. Objects in the archive are never unpickled.
    Raises `DataError` saying which array is wrong and what was expected.
    """
    arrays = _read(path)
    images = {name: _images(arrays[name], name, shape, path) for name in ("x_train", "x_test")}
    labels = {name: _labels(arrays[name], name, path) for name in ("y_train", "y_test")}
    try:
        return Dataset(images["x_train"], labels["y_train"], images["x_test"], labels["y_test"], classes)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # Opened here: np.load leaves a file open that it cannot read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path} is one array; expected an .npz with {', '.join(ARRAYS)}.")
            missing = [name for name in ARRAYS if name not in archive.files]
            if missing:
                has = ", ".join(archive.files[:8]) or "nothing"
                raise DataError(
                    f"{path} lacks {', '.join(missing)}; it has {has}. Save it with np.savez({', '.join(f'{a}=...' for a in ARRAYS)})."
                )
            return {name: archive[name] for name in ARRAYS}
    except FileNotFoundError as error:
        raise DataError(f"There is no data file {path}. Expected an .npz with {', '.join(ARRAYS)}.") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as an .npz: {error}. Expected one with {', '.join(ARRAYS)}.") from error


def _images(array: NDArray[Any], name: str, shape: tuple[int, int, int], path: Path) -> NDArray[np.uint8]:
    if shape[2] == 1 and array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[1:] != shape or array.dtype != np.uint8:
        raise DataError(
            f"{path}: {name} is {array.dtype}{list(array.shape)}; expected uint8[N, {', '.join(map(str, shape))}], pixels 0 to 255."
        )
    return array


def _labels(array: NDArray[Any], name: str, path: Path) -> NDArray[Any]:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind not in "iu":
        raise DataError(f"{path}: {name} is {array.dtype}{list(array.shape)}; expected integers, the number of each sample's class.")
    return array.astype(np.int64) if array.dtype.itemsize > 4 else array.astype(np.int32)

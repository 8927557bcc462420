"""What a user gives Keras to train on, in the forms that the training loops take: arrays in memory, or a source of batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from pyfl.errors import DataError
from pyfl.training.tensorflow_runtime import import_keras, import_tensorflow

__all__ = ["ArrayData", "SourceData", "TrainingData", "leaves", "training_data"]


@dataclass(frozen=True)
class ArrayData:
    """Arrays of equally many samples, in Keras's nesting (one, a list, tuple or dict of them). `y` and `weights` may be None."""

    x: Any
    y: Any
    weights: Any
    samples: int

    def one_sample(self) -> Any:
        """An input of one sample, to build a model with."""
        tf = import_tensorflow()

        def first(array: Any) -> Any:
            return tf.convert_to_tensor(array[:1])

        return tf.nest.map_structure(first, self.x)


@dataclass(frozen=True)
class SourceData:
    """A `tf.data.Dataset` or a `keras.utils.PyDataset`: batches of x, (x, y) or (x, y, sample_weight)."""

    source: Any
    kind: str

    def one_sample(self) -> Any:
        """An input to build a model with."""
        batch: Any = next(iter(self.source)) if self.kind == DATASET else self.source[0]
        x = cast("Any", batch[0] if isinstance(batch, tuple) else batch)

        def first(array: Any) -> Any:
            return array[:1]

        return import_tensorflow().nest.map_structure(first, x)


TrainingData = ArrayData | SourceData
DATASET, PY_DATASET = "tf.data.Dataset", "keras.utils.PyDataset"


def training_data(
    x: Any, y: Any = None, sample_weight: Any = None, class_weight: Mapping[int, float] | None = None, what: str = "training data"
) -> TrainingData:
    """Read Keras's arguments. Raises `DataError` for what does not fit together, and for what cannot be trained on round by round."""
    kind = _source_kind(x)
    if kind:
        if y is not None or sample_weight is not None:
            raise DataError(f"The {what} is a {kind}, which gives targets and weights itself; leave y and sample_weight out.")
        return SourceData(x, kind)
    if x is None or hasattr(x, "__next__"):
        raise DataError(
            f"The {what} is {'missing' if x is None else 'a generator, which ends'}; expected arrays, a tf.data.Dataset or a "
            "keras.utils.PyDataset."
        )
    arrays = (_arrays(x), _arrays(y), _arrays(sample_weight))
    samples = _count(arrays, what)
    data = ArrayData(*arrays, samples)
    return replace(data, weights=_class_weights(data, class_weight)) if class_weight else data


def split(data: TrainingData, validation_split: float) -> tuple[TrainingData, TrainingData | None]:
    """(what to train on, the last share for validation), as Keras splits: before any shuffling."""
    if not validation_split:
        return data, None
    if not 0.0 < validation_split < 1.0:
        raise DataError(f"validation_split is {validation_split}; expected a share between 0 and 1.")
    if isinstance(data, SourceData):
        raise DataError(f"validation_split needs arrays; this is a {data.kind}. Give validation_data instead.")
    at = math.floor(data.samples * (1.0 - validation_split))
    if at in (0, data.samples):
        raise DataError(f"validation_split={validation_split} of {data.samples} samples leaves one side empty.")
    return _slice(data, slice(0, at)), _slice(data, slice(at, None))


def leaves(part: Any) -> list[Any]:
    """The arrays in a nesting, in order."""
    if isinstance(part, Mapping):
        return [leaf for value in part.values() for leaf in leaves(value)]  # pyright: ignore
    if isinstance(part, (tuple, list)):
        return [leaf for value in part for leaf in leaves(value)]  # pyright: ignore
    return [] if part is None else [part]


def _map(function: Callable[[Any], Any], part: Any) -> Any:
    if isinstance(part, Mapping):
        return {name: _map(function, value) for name, value in part.items()}  # pyright: ignore
    if isinstance(part, (tuple, list)):
        return type(part)(_map(function, value) for value in part)  # pyright: ignore
    return None if part is None else function(part)


def _source_kind(x: Any) -> str:
    if isinstance(x, import_tensorflow().data.Dataset):
        return DATASET
    return PY_DATASET if isinstance(x, import_keras().utils.PyDataset) else ""


def _arrays(part: Any) -> Any:
    return _map(_array, part)


def _array(value: Any) -> Any:
    """An array as Keras would feed it: floats in its float type."""
    array = value if import_tensorflow().is_tensor(value) else np.asarray(value)
    if isinstance(array, np.ndarray):
        floatx: str = import_keras().config.floatx()
        return array.astype(floatx) if array.dtype.kind == "f" and array.dtype != floatx else array  # pyright: ignore
    return array


def _count(arrays: tuple[Any, Any, Any], what: str) -> int:
    counts: dict[str, set[int]] = {}
    for name, part in zip(("x", "y", "sample_weight"), arrays, strict=True):
        found = {int(array.shape[0]) if len(array.shape) else 0 for array in leaves(part)}
        if found:
            counts[name] = found
    if "x" not in counts:
        raise DataError(f"The {what} has no inputs; expected at least one array in x.")
    every = set[int]().union(*counts.values())
    if len(every) != 1:
        told = ", ".join(f"{name} {' and '.join(map(str, sorted(found)))}" for name, found in counts.items())
        raise DataError(f"The {what} has arrays of {sorted(every)} samples ({told}); x and y must have equally many.")
    return every.pop()


def _slice(data: ArrayData, part: slice) -> ArrayData:
    x, y, weights = (_map(lambda array: array[part], side) for side in (data.x, data.y, data.weights))
    return ArrayData(x, y, weights, len(range(*part.indices(data.samples))))


def _class_weights(data: ArrayData, class_weight: Mapping[int, float]) -> Any:
    """One weight a sample from its class, as Keras gives it: classes not named weigh 1."""
    if data.weights is not None:
        raise DataError("class_weight and sample_weight were both given; put the class weights into sample_weight.")
    if len(leaves(data.y)) != 1 or isinstance(data.y, (Mapping, list, tuple)):
        raise DataError("class_weight needs a model with one output; give sample_weight instead.")
    classes = np.asarray(data.y)
    if classes.ndim > 1:
        classes = classes.argmax(axis=-1) if classes.shape[-1] > 1 else classes[..., 0]
    classes = np.round(classes).astype(np.int64)
    weights = np.ones(classes.shape, import_keras().config.floatx())
    for number, weight in class_weight.items():
        weights[classes == int(number)] = weight
    return weights

"""The adapter from the public `Trainer`, over lists of arrays, to the flat vector."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex, cast

import numpy as np

from pyfl.errors import ModelMismatch, TrainingError
from pyfl.preparation.plan import Measured, give, statistics_of
from pyfl.training.layout import Layout, TensorSpec
from pyfl.training.trainer import Evaluation, Flat, FlatTrainer, RoundInfo, Trainer, TrainOutcome, TrainResult, read_only

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["from_trainer"]


def from_trainer(trainer: Trainer) -> FlatTrainer:
    """Make the round driver's view of a `Trainer`.

    Raises `ModelMismatch` when `initial_weights`, or later `train`, gives something other than float32 arrays of the
    first shapes, and `TrainingError` for a bad sample count or metric; each names the array or value.
    """
    return _ArrayTrainer(trainer)


class _ArrayTrainer:
    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        first = trainer.initial_weights()
        names = _names(trainer, first)
        for name, array in zip(names, first, strict=True):
            _check_float32(name, array, "initial_weights")
        self._layout = Layout(tuple(TensorSpec(name, tuple(array.shape)) for name, array in zip(names, first, strict=True)))
        # Kept, as a trainer may draw its weights anew on every call; the driver asks once or twice.
        self._first = [array.copy() for array in first]

    @property
    def layout(self) -> Layout:
        return self._layout

    def initial(self, out: Flat) -> None:
        for view, array in zip(self._layout.views(out), self._first, strict=True):
            np.copyto(view, array)

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:  # noqa: ARG002
        # The trainer gets views of `out`, which it may change in place: no copy beyond the one into `out`.
        # `stop` cannot reach into a foreign loop; the deadline in `info` can.
        np.copyto(out, base)
        views = self._layout.views(out)
        result = self._trainer.train(list(views), info)
        if not isinstance(cast("Any", result), TrainResult):
            raise TrainingError(f"train returned {type(result).__name__}; expected pyfl.TrainResult(weights, samples, metrics).")
        self._take(result.weights, views, out)
        return TrainOutcome(_samples(result.samples), _metrics(result.metrics))

    def evaluate(self, weights: Flat, share: tuple[int, int]) -> Evaluation | None:  # noqa: ARG002
        evaluate = getattr(self._trainer, "evaluate", None)
        if evaluate is None:
            return None
        evaluation: object = evaluate(self._layout.views(read_only(weights)))
        if not isinstance(evaluation, Evaluation):
            raise TrainingError(f"evaluate returned {type(evaluation).__name__}; expected pyfl.Evaluation(samples, loss_sum, correct).")
        return evaluation

    def statistics(self) -> Measured:
        return statistics_of(self._trainer)

    def prepared(self, results: Mapping[str, Any]) -> None:
        give(self._trainer, results)

    def _take(self, weights: Sequence[NDArray[np.float32]], views: list[NDArray[np.float32]], out: Flat) -> None:
        tensors = self._layout.tensors
        if len(weights) != len(tensors):
            raise ModelMismatch(
                f"train returned {len(weights)} arrays; expected {len(tensors)}, as it was given: "
                f"{', '.join(tensor.name for tensor in tensors)}."
            )
        for tensor, array in zip(tensors, weights, strict=True):
            _check_float32(tensor.name, array, "train")
            if array.shape != tensor.shape:
                raise ModelMismatch(
                    f"train returned {tensor.name} with shape {array.shape}; expected {tensor.shape}. "
                    "Return the arrays in the order and the shapes in which they came."
                )
        foreign = [(view, array) for view, array in zip(views, weights, strict=True) if view is not array]
        # An array that lies in `out` but is not its own view (a slice, another's) is read before it is overwritten.
        safe = [(view, array.copy() if np.may_share_memory(array, out) else array) for view, array in foreign]
        for view, array in safe:
            np.copyto(view, array)


def _names(trainer: Trainer, arrays: Sequence[object]) -> list[str]:
    names = cast("list[str] | None", getattr(trainer, "names", None))
    if names is None:
        return [f"array_{place}" for place in range(len(arrays))]
    if len(names) != len(arrays):
        raise ModelMismatch(f"The trainer has {len(names)} names for {len(arrays)} arrays; give a name to each.")
    return list(names)


def _check_float32(name: str, array: object, where: str) -> None:
    if not isinstance(array, np.ndarray):
        raise ModelMismatch(f"{where} returned {type(array).__name__} for {name}; expected a float32 NumPy array.")
    kind = cast("NDArray[Any]", array).dtype
    if kind != np.float32:
        raise ModelMismatch(f"{where} returned {name} as {kind}; expected float32. Convert it with array.astype(np.float32).")


def _samples(samples: object) -> int:
    if isinstance(samples, bool) or not isinstance(samples, SupportsIndex) or index(samples) < 0:
        raise TrainingError(f"train reported samples={samples!r}; expected how many samples it processed, an int of at least 0.")
    return index(samples)


def _metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    checked: dict[str, float] = {}
    for name, value in metrics.items():
        try:
            checked[name] = float(value)
        except (TypeError, ValueError) as error:
            raise TrainingError(f"Metric {name!r} is {value!r}; expected a number.") from error
    return checked

"""Where a founder's run begins when it is not the app's fresh model: the weights of a `.keras` file or of a pyfl checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from pyfl.checkpoints import read_checkpoint
from pyfl.errors import CheckpointError, ConfigError, ModelMismatch
from pyfl.training.keras_variables import FlatVariables
from pyfl.training.tensorflow_runtime import import_keras

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyfl.training.layout import Layout
    from pyfl.training.trainer import Evaluation, Flat, FlatTrainer, RoundInfo, TrainOutcome

__all__ = ["WarmStarted", "starting_weights"]

KEY = "start_from (--from)"
HINT = "Expected a .keras file, or a checkpoint's .safetensors with its .json beside it."


class WarmStarted:
    """A trainer whose model 0 is given; in everything else the trainer that it was."""

    def __init__(self, trainer: FlatTrainer, weights: Flat) -> None:
        """`weights`: float32[P] in the trainer's layout."""
        self._trainer, self._weights = trainer, weights

    @property
    def layout(self) -> Layout:
        """The trainer's."""
        return self._trainer.layout

    def initial(self, out: Flat) -> None:
        """Write the given weights."""
        np.copyto(out, self._weights)

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:
        """The trainer's."""
        return self._trainer.train(base, out, info, stop)

    def evaluate(self, weights: Flat, share: tuple[int, int]) -> Evaluation | None:
        """The trainer's."""
        return self._trainer.evaluate(weights, share)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trainer, name)


def starting_weights(path: Path, layout: Layout) -> Flat:
    """Read weights for a model of this layout, float32[P].

    Raises `ConfigError` when there is no such file or it cannot be read, and `ModelMismatch` when it is of another model.
    """
    if not path.is_file():
        raise ConfigError(f"{KEY}: there is no file {path}. {HINT}")
    weights = _of_keras(path, layout) if path.suffix == ".keras" else _of_checkpoint(path, layout)
    if not np.isfinite(weights).all():
        raise ConfigError(f"{KEY}: {path} has weights that are not finite, from which nothing can be learned. Choose another file.")
    return weights


def _of_keras(path: Path, layout: Layout) -> Flat:
    keras = import_keras()
    try:
        model = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile) as error:
        raise ConfigError(
            f"{KEY}: {path} cannot be read as a Keras model: {error} {HINT} Classes of your own need "
            "keras.saving.register_keras_serializable."
        ) from error
    variables = FlatVariables(model)
    differences = layout.difference(variables.layout, where="in the file")
    if differences:
        raise _mismatch(path, differences[0])
    weights = np.empty(layout.size, np.float32)
    variables.store(weights)
    return weights


def _of_checkpoint(path: Path, layout: Layout) -> Flat:
    try:
        saved, weights = read_checkpoint(path)
    except CheckpointError as error:
        raise ConfigError(f"{KEY}: {error}") from error
    if saved.layout != layout.digest or len(weights) != layout.size:
        options = "".join(f" {name}={value}" for name, value in saved.options.items())
        there = f"{len(weights)} values there, of app {saved.app or 'that it does not name'} with{options or ' no options'}"
        raise _mismatch(path, f"{layout.size} values here, {there}")
    return weights


def _mismatch(path: Path, difference: str) -> ModelMismatch:
    return ModelMismatch(
        f"{KEY}: {path} is of another model than this run's: {difference}. Use the app, its options and its model as they were then."
    )

"""A committed model built again from its checkpoint: its app's network with the swarm's weights, to predict with and to export."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyfl.apps.app import App
from pyfl.apps.registry import load_app
from pyfl.errors import AppError, BadInput, ModelMismatch
from pyfl.training.keras_variables import FlatVariables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyfl.apps.images import ImageInput
    from pyfl.checkpoints import Saved

__all__ = ["CommittedModel", "Guess", "app_of", "rebuild"]

BATCH = 32
"""As `predict` has it, so that it gives the same numbers."""
MOST_INPUTS = 1024


@dataclass(frozen=True, slots=True)
class Guess:
    """One class that a model takes a picture for."""

    name: str
    label: int
    probability: float


@dataclass(frozen=True, slots=True, eq=False)
class CommittedModel:
    """A Keras model with committed weights, and what its checkpoint says of it."""

    saved: Saved
    app: App
    model: Any

    def classify(self, content: bytes, top: int = 5, *, invert: bool = False) -> list[Guess]:
        """The most likely classes of an encoded picture, best first. Raises `ImageError`, and `AppError` for apps without pictures."""
        return self.guess(self.picture(content, invert=invert), top)[0]

    def picture(self, content: bytes, *, invert: bool = False) -> NDArray[Any]:
        """An encoded picture as the model's input, a batch of one. Raises as `classify` does."""
        return self._images.decode(content, invert=invert)

    def arrays(self, nested: list[Any]) -> NDArray[np.float32]:
        """Nested lists of numbers as the model's input: a batch, or one input, which becomes a batch of one. Raises `BadInput`."""
        return as_inputs(nested, self.model.input_shape)

    def guess(self, inputs: NDArray[Any], top: int = 5) -> list[list[Guess]]:
        """The most likely classes of each input, best first; the numbers that `model.predict(inputs)` gives. Raises `AppError`.

        An app that prepares its data with the swarm's statistics prepares these inputs too.
        """
        inputs = self.app.as_prepared(inputs, self.saved.statistics)
        names = self.app.images.classes if self.app.images else ()
        # Not `predict`, which builds a pipeline of its own for each call: 40 ms and threads that training would feel.
        outputs: list[NDArray[Any]] = [
            np.asarray(self.model.predict_on_batch(inputs[start : start + BATCH])) for start in range(0, len(inputs), BATCH)
        ]
        return [
            [Guess(names[label] if label < len(names) else str(label), label, float(row[label])) for label in best_labels(row, top)]
            for row in probabilities(np.concatenate(outputs))
        ]

    def renew(self, saved: Saved, weights: NDArray[np.float32]) -> CommittedModel:
        """The same network with other weights of its run; the old value must not be used again."""
        FlatVariables(self.model).load(weights)
        return replace(self, saved=saved)

    @property
    def _images(self) -> ImageInput:
        if self.app.images is None:
            raise AppError(
                f"App {self.app.name} does not say how a picture becomes its input. Give it App(images=ImageInput(...)), or export "
                "the model and call it with arrays."
            )
        return self.app.images


def best_labels(row: NDArray[np.float64], top: int) -> list[int]:
    """The most likely first; of equals the lower number."""
    best: list[int] = np.argsort(-row, kind="stable")[: max(1, top)].tolist()
    return best


def as_inputs(nested: list[Any], shape: Any) -> NDArray[np.float32]:
    """Nested lists as a batch for a model whose input is [None, ...]. Raises `BadInput`."""
    sides: list[Any] = [*shape]
    if not all(side is None or isinstance(side, int) for side in sides):
        raise BadInput("The model takes several inputs, and arrays can be given for a model with one. Export it, and call it with them.")
    sample = sides[1:]
    shown = ", ".join(["N", *("any" if side is None else str(side) for side in sample)])
    wanted = f"numbers in the shape [{shown}], N from 1 to {MOST_INPUTS}"
    try:
        values: NDArray[Any] = np.asarray(nested)
    except ValueError as error:
        raise BadInput(f"The arrays are not of one shape; expected {wanted}.") from error
    if values.dtype.kind not in "iuf" or not values.size:
        raise BadInput(f"The arrays hold something else than numbers, or nothing; expected {wanted}.")
    if values.ndim == len(sample):
        values = values[np.newaxis]
    fits = values.ndim == len(sample) + 1 and all(side in (None, size) for side, size in zip(sample, values.shape[1:], strict=True))
    if not fits or len(values) > MOST_INPUTS:
        raise BadInput(f"The arrays have the shape {list(values.shape)}; expected {wanted}.")
    with np.errstate(over="ignore"):
        inputs = values.astype(np.float32)
    if not np.isfinite(inputs).all():
        raise BadInput(f"The arrays hold infinity, or numbers beyond float32; expected {wanted}.")
    return inputs


def probabilities(outputs: NDArray[Any]) -> NDArray[np.float64]:
    """Outputs float[N, classes] as probabilities: what is a distribution already stays, anything else is taken for logits."""
    if outputs.ndim != 2:
        raise AppError(f"The model gives {list(outputs.shape[1:])} values a picture; expected one for each class.")
    values = outputs.astype(np.float64)
    if np.all(values >= 0) and np.allclose(values.sum(axis=1), 1, atol=1e-3):
        return values
    grown = np.exp(values - values.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def app_of(saved: Saved) -> App:
    """The app that a checkpoint's run trains, with its options. Raises `AppError`."""
    if not saved.app or saved.app == "trainer":
        raise AppError(
            f"Run {saved.run} trains a model that was handed over as an object, which a checkpoint does not hold. Name an app that "
            "makes the same model: --app package.module:name."
        )
    return load_app(saved.app).with_options(saved.options)


def rebuild(saved: Saved, weights: NDArray[np.float32], app: App | None = None) -> CommittedModel:
    """Build the model of a checkpoint and load its weights, float32[P]. `app`: instead of the one that the checkpoint names.

    Raises `AppError`, and `ModelMismatch` when the app makes another model now.
    """
    app = app or app_of(saved)
    model = app.resting_model()
    variables = FlatVariables(model)
    if variables.layout.digest != saved.layout:
        raise ModelMismatch(
            f"App {app.name} makes another model than the one saved for round {saved.round}: {variables.layout.size} values here, "
            f"{len(weights)} there, or other names and shapes. Use the app as it was when run {saved.run} was founded."
        )
    variables.load(weights)
    return CommittedModel(saved, app, model)

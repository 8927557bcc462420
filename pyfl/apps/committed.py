"""A committed model built again from its checkpoint: its app's network with the swarm's weights, to predict with and to export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyfl.apps.app import App
from pyfl.apps.registry import load_app
from pyfl.errors import AppError, ModelMismatch
from pyfl.training.keras_variables import FlatVariables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyfl.apps.images import ImageInput
    from pyfl.checkpoints import Saved

__all__ = ["CommittedModel", "Guess", "app_of", "rebuild"]


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
        names = self._images.classes
        outputs: NDArray[Any] = np.asarray(self.model.predict(self._images.decode(content, invert=invert), verbose=0))
        found = probabilities(outputs)[0]
        best: list[int] = np.argsort(-found, kind="stable")[: max(1, top)].tolist()
        return [Guess(names[label] if label < len(names) else str(label), label, float(found[label])) for label in best]

    @property
    def _images(self) -> ImageInput:
        if self.app.images is None:
            raise AppError(
                f"App {self.app.name} does not say how a picture becomes its input. Give it App(images=ImageInput(...)), or export "
                "the model and call it with arrays."
            )
        return self.app.images


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

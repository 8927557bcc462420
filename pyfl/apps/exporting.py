"""A committed model as a file that other programs read: Keras's own format, TensorFlow's SavedModel, or safetensors."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from pyfl.apps.committed import app_of, rebuild
from pyfl.errors import ExportError
from pyfl.training.keras_variables import FlatVariables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyfl.apps.app import App
    from pyfl.checkpoints import Saved

__all__ = ["FORMATS", "export"]

FORMATS = ("keras", "savedmodel", "safetensors")
ENDINGS = {"keras": ".keras", "safetensors": ".safetensors"}


def export(saved: Saved, weights: NDArray[np.float32], out: Path, kind: str, app: App | None = None) -> None:
    """Write the model to `out`, which must not exist, whole or not at all. `app`: instead of the one that the checkpoint names.

    keras: architecture and weights, for keras.models.load_model. savedmodel: a folder for TensorFlow's serving. safetensors: each
    tensor under its name, with run, round and digest as metadata; the only one for apps that are not Keras's.
    Raises `ExportError`, `AppError` and `ModelMismatch`.
    """
    if kind not in FORMATS:
        raise ExportError(f"There is no format {kind!r}; expected one of {', '.join(FORMATS)}.")
    ending = ENDINGS.get(kind, "")
    if ending and out.suffix != ending:
        raise ExportError(f"{out} does not end in {ending}, as a file of format {kind} does; call it {out.with_suffix(ending).name}.")
    if out.exists():
        raise ExportError(f"{out} exists already, and is left as it is. Remove it, or choose another name.")
    with _beside(out) as temporary:
        if kind == "safetensors":
            _save_tensors(saved, weights, app or app_of(saved), temporary)
        elif kind == "keras":
            model = rebuild(saved, weights, app).model
            if model.optimizer is not None and not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)  # Keras cannot load what was saved before this
            model.save(temporary)
        else:
            rebuild(saved, weights, app).model.export(temporary, format="tf_saved_model", verbose=False)


def _save_tensors(saved: Saved, weights: NDArray[np.float32], app: App, path: Path) -> None:
    names = {name: np.ascontiguousarray(view) for name, view in _tensors(saved, weights, app)}
    about = {"run": saved.run, "app": saved.app, "round": str(saved.round), "digest": saved.model}
    save_file(names, path, about | {f"option.{name}": value for name, value in saved.options.items()})


def _tensors(saved: Saved, weights: NDArray[np.float32], app: App) -> list[tuple[str, NDArray[Any]]]:
    # Built again for a Keras app too: only so is it known that these weights are this app's.
    layout = app.build(0).layout if app.model is None else FlatVariables(rebuild(saved, weights, app).model).layout
    return [(tensor.name, view) for tensor, view in zip(layout.tensors, layout.views(weights), strict=True)]


@contextlib.contextmanager
def _beside(out: Path) -> Generator[Path]:
    """A path of the same ending in the same directory, renamed to `out` when what is written there is whole."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.absolute().parent) as directory:
            temporary = Path(directory) / out.name
            yield temporary
            os.replace(temporary, out)
    except OSError as error:
        raise ExportError(f"The model could not be written to {out}: {error}. Make room, or choose another place.") from error

"""Committed checkpoints as programs other than their peer read them: found, checked against their digest, never changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from pyfl.checkpoints.best import BEST, read_mark
from pyfl.checkpoints.store import MODEL, Saved
from pyfl.errors import CheckpointError
from pyfl.wire import digests

__all__ = ["best_checkpoint", "newest_checkpoint", "read_checkpoint"]


def newest_checkpoint(directory: Path) -> tuple[Saved, NDArray[np.float32]]:
    """The newest committed model that is whole, of a peer's data directory or of a folder of several, such as a demo's.

    The peer may run meanwhile and remove what is old: then the next newest is read. Raises `CheckpointError`.
    """
    found = [*directory.glob("checkpoints/round-*.json"), *directory.glob("*/checkpoints/round-*.json"), *directory.glob("round-*.json")]
    wrong = ""
    for sidecar in sorted(found, key=lambda path: path.name, reverse=True):
        try:
            return read_checkpoint(sidecar)
        except CheckpointError as error:
            wrong = wrong or f" The newest could not be read: {error}"
    raise CheckpointError(
        f"There is no committed model in {directory}; expected checkpoints/round-000001.safetensors with a .json beside it.{wrong} "
        "A peer writes one with every round that it commits; name its data directory, or a file."
    )


def best_checkpoint(directory: Path) -> tuple[Saved, NDArray[np.float32]]:
    """The model of the swarm's best round, of a peer's data directory or of a folder of several.

    Raises `CheckpointError` when no round was measured, or no peer here has held that round's model.
    """
    marks = [*directory.glob(f"checkpoints/{BEST}"), *directory.glob(f"*/checkpoints/{BEST}"), *directory.glob(BEST)]
    missed = wrong = ""
    for path in sorted(marks):
        mark = read_mark(path.parent)
        if mark is None:
            continue
        # By its digest: a round that left the model as it was has no checkpoint of its own.
        for checkpoint in sorted(path.parent.glob("round-*.json"), reverse=True):
            try:
                saved, model = read_checkpoint(checkpoint)
            except CheckpointError as error:
                wrong = f" One there cannot be read: {error}"
                continue
            if (saved.run, saved.model) == (mark.run, mark.model):
                return saved, model
        missed = (
            f"The swarm's best round is {mark.round}, with {mark.measure} {mark.value:.4g}, and its model is not in {path.parent}: this "
            f"peer was not there then, or its checkpoint was lost. Ask in another peer's data directory, or for the newest.{wrong}"
        )
    raise CheckpointError(
        missed
        or f"There is no best round in {directory}; expected checkpoints/{BEST}. A peer writes it with the first round that has an "
        "accuracy or a loss; leave --best out for the newest model."
    )


def read_checkpoint(path: Path) -> tuple[Saved, NDArray[np.float32]]:
    """What the sidecar says and the flat model, float32[P]; `path` is either of the two files.

    Raises `CheckpointError` when one is missing or damaged, or the model has not the digest that its sidecar says.
    """
    sidecar, model_file = path.with_suffix(".json"), path.with_suffix(".safetensors")
    try:
        saved = msgspec.json.decode(sidecar.read_bytes(), type=Saved)
        opened: Any = safe_open(model_file, framework="numpy")  # has no annotations
        with opened as file:
            model: NDArray[Any] = np.ascontiguousarray(file.get_tensor(MODEL))
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no checkpoint {path}; expected {model_file.name} with {sidecar.name} beside it.") from error
    except (OSError, SafetensorError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"Checkpoint {path} cannot be read: {error}. Choose another, or let its peer pull the model again."
        ) from error
    if model.dtype != np.float32 or model.ndim != 1 or digests.combine(digests.of_vector(model)) != saved.model:
        raise CheckpointError(
            f"Checkpoint {path} does not have the digest {saved.model[:16]} that its sidecar says: it is damaged, or was changed. "
            "Choose another, or let its peer pull the model again."
        )
    return saved, model

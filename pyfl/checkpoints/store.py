"""A peer's checkpoints: `round-000123.safetensors` with a `.json` beside it, and `staged-123-1` for a result not yet committed.

Files are written under a temporary name, fsynced where asked, and renamed, the model before its sidecar: a sidecar that is there has
its model. What does not match its digest is set aside as `.corrupt` and told, never replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pyfl.errors import CheckpointError
from pyfl.wire import digests

__all__ = ["CheckpointStore", "Saved"]

Flat = NDArray[np.float32]

KEPT = 2
MODEL = "model"


class Saved(msgspec.Struct, frozen=True):
    """What a sidecar says of its model."""

    run: str
    layout: str
    round: int
    epoch: int
    model: str
    state: str
    vectors: int = 0
    """Of the server state."""


class CheckpointStore:
    """One directory of one peer. `durable`: fsync before a file counts. One caller at a time."""

    def __init__(self, directory: Path, *, durable: bool, warn: Callable[[str], None]) -> None:
        self._directory, self._durable, self._warn = directory, durable, warn
        directory.mkdir(parents=True, exist_ok=True)

    # ---- writing

    def stage(self, saved: Saved, model: Flat, state: Sequence[Flat]) -> None:
        """Keep an uncommitted result; an earlier epoch's is replaced after this one is safe."""
        name = f"staged-{saved.round}-{saved.epoch}"
        self._write(name, saved, model, state)
        for other in self._directory.glob("staged-*.json"):
            if other.stem != name:
                self._remove(other.stem)

    def commit(self, saved: Saved, model: Flat, state: Sequence[Flat]) -> bool:
        """Keep a committed model: the staged one if it is the same, else written anew. False if memory has moved on meanwhile."""
        name = f"round-{saved.round:06d}"
        staged = self._sidecar(f"staged-{saved.round}-{saved.epoch}")
        if staged is not None and (staged.model, staged.state) == (saved.model, saved.state):
            for suffix in (".safetensors", ".json"):
                os.replace(self._path(f"staged-{saved.round}-{saved.epoch}", suffix), self._path(name, suffix))
            self._sync_directory()
        else:
            self._write(name, saved, model, state)
            if digests.combine(digests.of_vector(model)) != saved.model:
                self._remove(name)
                return False
        for old in sorted(self._directory.glob("round-*.json"))[:-KEPT]:
            self._remove(old.stem)
        return True

    def _write(self, name: str, saved: Saved, model: Flat, state: Sequence[Flat]) -> None:
        tensors = {MODEL: model, **{f"state_{i}": vector for i, vector in enumerate(state)}}
        try:
            self._put(self._path(name, ".safetensors"), lambda path: save_file(tensors, path, {"round": str(saved.round)}))
            self._put(self._path(name, ".json"), lambda path: _dump(path, msgspec.json.format(msgspec.json.encode(saved)) + b"\n"))
        except OSError as error:
            raise CheckpointError(
                f"Round {saved.round} could not be written to {self._directory}: {error}. The peer goes on without this checkpoint; "
                "make room or choose another --data-dir."
            ) from error
        self._sync_directory()

    def _put(self, path: Path, write: Callable[[Path], None]) -> None:
        temporary = path.with_name(f".{path.name}.tmp")
        write(temporary)
        if self._durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)

    def _sync_directory(self) -> None:
        if not self._durable:
            return
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _remove(self, name: str) -> None:
        for suffix in (".json", ".safetensors"):
            self._path(name, suffix).unlink(missing_ok=True)

    def _path(self, name: str, suffix: str) -> Path:
        return self._directory / f"{name}{suffix}"

    # ---- reading

    def newest(self, run: str, layout: str, model: Flat, state: Sequence[Flat]) -> Saved | None:
        """Load the newest good checkpoint of this run into `model` and `state`."""
        return self._load_first(sorted(self._directory.glob("round-*.json"), reverse=True), run, layout, model, state)

    def staged(self, run: str, layout: str, model: Flat, state: Sequence[Flat]) -> Saved | None:
        """Load the staged result of this run, if there is one."""
        return self._load_first(sorted(self._directory.glob("staged-*.json"), reverse=True), run, layout, model, state)

    def _load_first(
        self, sidecars: Sequence[Path], run: str, layout: str, model: Flat, state: Sequence[Flat]
    ) -> Saved | None:
        for path in sidecars:
            saved = self._sidecar(path.stem)
            if saved is None or (saved.run, saved.layout, saved.vectors) != (run, layout, len(state)):
                continue
            if self._load(path.stem, saved, model, state):
                return saved
        return None

    def _sidecar(self, name: str) -> Saved | None:
        path = self._path(name, ".json")
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=Saved)
        except (OSError, msgspec.DecodeError) as error:
            self._set_aside(name, f"its sidecar cannot be read: {error}")
            return None

    def _load(self, name: str, saved: Saved, model: Flat, state: Sequence[Flat]) -> bool:
        try:
            with safe_open(self._path(name, ".safetensors"), framework="numpy") as file:
                np.copyto(model, file.get_tensor(MODEL))
                for index, vector in enumerate(state):
                    np.copyto(vector, file.get_tensor(f"state_{index}"))
        except (OSError, SafetensorError, ValueError) as error:
            self._set_aside(name, str(error))
            return False
        if digests.combine(digests.of_vector(model)) != saved.model:
            self._set_aside(name, "it does not have the digest that its sidecar says")
            return False
        return True

    def _set_aside(self, name: str, why: str) -> None:
        for suffix in (".json", ".safetensors"):
            path = self._path(name, suffix)
            if path.exists():
                os.replace(path, path.with_name(path.name + ".corrupt"))
        self._warn(f"Checkpoint {name} is set aside as .corrupt: {why}. An older one, or the swarm, is used instead.")


def _dump(path: Path, text: bytes) -> None:
    path.write_bytes(text)

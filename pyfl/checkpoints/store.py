"""A peer's checkpoints: `round-000123.safetensors` with a `.json` beside it, and `staged-123-1` for a result not yet committed.

Files are written under a temporary name, fsynced where asked, and renamed, the model before its sidecar: a sidecar that is there has
its model. What a commit replaces is removed only when the new pair is whole, so that a crash between any two steps leaves a model to
load. What does not match its digests is set aside as `.corrupt` and told, never replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from pyfl.checkpoints.best import BEST, BestMark, checkpoint_name, read_mark
from pyfl.errors import CheckpointError
from pyfl.wire import digests

__all__ = ["CheckpointStore", "Saved"]

Flat = NDArray[np.float32]

KEPT = 2
MODEL = "model"
_WEIGHTS, _SIDECAR = ".safetensors", ".json"


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
    app: str = ""
    options: dict[str, str] = {}
    """With which the model can be built again."""
    statistics: bytes = b""
    """The sum of what was prepared, little-endian int64, for predictions; the last vector of the server state has it as limbs."""


class CheckpointStore:
    """One directory of one peer. `durable`: fsync before a file counts. One caller at a time.

    Raises `CheckpointError` when the directory cannot be made or written.
    """

    def __init__(self, directory: Path, *, durable: bool, warn: Callable[[str], None]) -> None:
        self._directory, self._durable, self._warn = directory, durable, warn
        self._best: BestMark | None = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._sweep()
            self._best = self._marked()
        except OSError as error:
            raise CheckpointError(f"{directory} cannot be used for checkpoints: {error}. Choose another --data-dir.") from error

    def _sweep(self) -> None:
        """Remove what a crash left half done: temporary files, and models whose sidecar was never written or went first."""
        for path in self._directory.glob(".*.tmp"):
            path.unlink()
        for kind in ("round", "staged"):
            for path in self._directory.glob(f"{kind}-*{_WEIGHTS}"):
                if _numbers(path.stem) and not path.with_suffix(_SIDECAR).exists():
                    path.unlink()

    def _marked(self) -> BestMark | None:
        try:
            return read_mark(self._directory)
        except CheckpointError as error:
            path = self._directory / BEST
            self._replace(path, path.with_name(path.name + ".corrupt"))
            self._warn(f"{error} It is set aside as .corrupt.")
            return None

    # ---- writing

    def pin(self, mark: BestMark) -> None:
        """This is the swarm's best round now: its checkpoint is kept until another is better. Call it after `commit` of that round."""
        if mark == self._best:
            return
        path = self._directory / BEST
        try:
            self._put(path, mark)
            self._sync_directory()
        except OSError as error:
            self._discard(self._temporary(path))
            raise CheckpointError(f"{path} could not be written: {error}. Expected room for it; make room.") from error
        self._best = mark

    def stage(self, saved: Saved, model: Flat, state: Sequence[Flat]) -> bool:
        """Keep an uncommitted result; an earlier epoch's is removed after this one is safe. False if memory has moved on meanwhile."""
        name = f"staged-{saved.round}-{saved.epoch}"
        written = self._write(name, saved, model, state)
        if written:
            self._remove_staged(lambda other: other != (saved.round, saved.epoch))
        return written

    def commit(self, saved: Saved, model: Flat, state: Sequence[Flat]) -> bool:
        """Keep a committed model: the staged one if it is the same, else written anew. False if memory has moved on meanwhile."""
        name, staged_name = checkpoint_name(saved.round), f"staged-{saved.round}-{saved.epoch}"
        staged = self._sidecar(staged_name)
        same = staged is not None and (staged.model, staged.state) == (saved.model, saved.state)
        if not (same and self._adopt(staged_name, name, saved)) and not self._write(name, saved, model, state):
            return False
        self._remove_staged(lambda other: other[0] <= saved.round)
        best = self._best.model if self._best and self._best.run == saved.run else ""
        for old in self._found("round")[KEPT:]:
            kept = self._sidecar(old)
            # by its digest: a round that left the model as it was has no checkpoint of its own
            if kept is None or kept.run != saved.run or kept.model != best:
                self._remove(old)
        return True

    def _adopt(self, staged: str, name: str, saved: Saved) -> bool:
        """Give the staged model its committed name too; the staged one stays until that is safe. False where links are not to be had."""
        temporary = self._temporary(self._path(name, _WEIGHTS))
        try:
            temporary.unlink(missing_ok=True)
            os.link(self._path(staged, _WEIGHTS), temporary)
            self._replace(temporary, self._path(name, _WEIGHTS))
            self._put_sidecar(name, saved)
            self._sync_directory()
        except OSError:  # no links on this file system, or no room: the model in memory is written as if it had not been staged
            return False
        return True

    def _write(self, name: str, saved: Saved, model: Flat, state: Sequence[Flat]) -> bool:
        path = self._path(name, _WEIGHTS)
        temporary = self._temporary(path)
        tensors = {MODEL: model, **{f"state_{i}": vector for i, vector in enumerate(state)}}
        try:
            save_file(tensors, temporary, {"round": str(saved.round)})
            if digests.of_model(model, state) != (saved.model, saved.state):  # the driver has gone on, and what was written is a mixture
                temporary.unlink()
                return False
            self._sync_file(temporary)
            if self._sidecar(name) != saved:  # of another model under this name, if there was one
                self._path(name, _SIDECAR).unlink(missing_ok=True)
            self._replace(temporary, path)
            self._put_sidecar(name, saved)
            self._sync_directory()
        except (OSError, SafetensorError) as error:
            self._discard(temporary)
            raise CheckpointError(
                f"Round {saved.round} could not be written to {self._directory}: {error}. Expected room for it; "
                "make room or choose another --data-dir."
            ) from error
        return True

    def _put_sidecar(self, name: str, saved: Saved) -> None:
        self._put(self._path(name, _SIDECAR), saved)

    def _put(self, path: Path, value: msgspec.Struct) -> None:
        temporary = self._temporary(path)
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
        self._sync_file(temporary)
        self._replace(temporary, path)

    def _discard(self, temporary: Path) -> None:
        """Free the room of what could not be written whole."""
        try:
            temporary.unlink(missing_ok=True)
        except OSError as error:
            self._warn(f"{temporary} could not be removed: {error}. It is removed when the peer starts again.")

    @staticmethod
    def _temporary(path: Path) -> Path:
        return path.with_name(f".{path.name}.tmp")

    @staticmethod
    def _replace(temporary: Path, path: Path) -> None:
        os.replace(temporary, path)

    def _sync_file(self, path: Path) -> None:
        if self._durable:
            with path.open("rb+") as file:
                os.fsync(file.fileno())

    def _sync_directory(self) -> None:
        if not self._durable:
            return
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _remove_staged(self, unwanted: Callable[[tuple[int, ...]], bool]) -> None:
        for name in self._found("staged"):
            if unwanted(_numbers(name)):
                self._remove(name)

    def _remove(self, name: str) -> None:
        """The sidecar first: a model without one is swept away at the next start."""
        try:
            for suffix in (_SIDECAR, _WEIGHTS):
                self._path(name, suffix).unlink(missing_ok=True)
        except OSError as error:
            self._warn(f"Checkpoint {name} could not be removed: {error}. It is tried again with the next round.")

    def _path(self, name: str, suffix: str) -> Path:
        return self._directory / f"{name}{suffix}"

    # ---- reading

    def newest(self, run: str, layout: str, model: Flat, state: Sequence[Flat]) -> Saved | None:
        """Load the newest good checkpoint of this run into `model` and `state`; after None they hold anything."""
        return self._load_first("round", run, layout, model, state)

    def staged(self, run: str, layout: str, model: Flat, state: Sequence[Flat]) -> Saved | None:
        """Load the newest staged result of this run, if there is one; after None the vectors hold anything."""
        return self._load_first("staged", run, layout, model, state)

    def _found(self, kind: str) -> list[str]:
        """Names that have a sidecar, the newest first."""
        names = [path.stem for path in self._directory.glob(f"{kind}-*{_SIDECAR}") if _numbers(path.stem)]
        return sorted(names, key=_numbers, reverse=True)

    def _load_first(self, kind: str, run: str, layout: str, model: Flat, state: Sequence[Flat]) -> Saved | None:
        for name in self._found(kind):
            saved = self._sidecar(name)
            if saved is None or (saved.run, saved.layout, saved.vectors) != (run, layout, len(state)):
                continue
            if self._load(name, saved, model, state):
                return saved
        return None

    def _sidecar(self, name: str) -> Saved | None:
        path = self._path(name, _SIDECAR)
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=Saved)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            self._set_aside(name, f"its sidecar cannot be read: {error}")
            return None

    def _load(self, name: str, saved: Saved, model: Flat, state: Sequence[Flat]) -> bool:
        vectors = {MODEL: model, **{f"state_{i}": vector for i, vector in enumerate(state)}}
        try:
            opened: Any = safe_open(self._path(name, _WEIGHTS), framework="numpy")  # safetensors tells no types
            with opened as file:
                for key, vector in vectors.items():
                    np.copyto(vector, file.get_tensor(key), casting="no")
        except (OSError, SafetensorError, ValueError, TypeError) as error:
            self._set_aside(name, str(error))
            return False
        if digests.of_model(model, state) != (saved.model, saved.state):
            self._set_aside(name, "it does not have the digests that its sidecar says")
            return False
        return True

    def _set_aside(self, name: str, why: str) -> None:
        done = "is set aside as .corrupt"
        try:
            for suffix in (_WEIGHTS, _SIDECAR):  # a model without a sidecar would be swept away
                path = self._path(name, suffix)
                if path.exists():
                    self._replace(path, path.with_name(path.name + ".corrupt"))
        except OSError as error:
            done = f"is passed over, and could not be set aside ({error})"
        self._warn(f"Checkpoint {name} {done}: {why}. An older one, or the swarm, is used instead.")


def _numbers(name: str) -> tuple[int, ...]:
    """The round, and of a staged result the epoch, in a name; empty if it is not one of ours."""
    _, *numbers = name.split("-")
    return tuple(int(n) for n in numbers) if numbers and all(n.isdecimal() for n in numbers) else ()

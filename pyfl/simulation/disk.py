"""A peer's checkpoints in simulated time: kept as long as its disk, written when the worker's job ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pyfl.checkpoints import BestMark, CheckpointStore, Saved
from pyfl.errors import CheckpointError
from pyfl.wire import digests

__all__ = ["SimulatedCheckpoints"]

Flat = NDArray[np.float32]
Model = tuple[Saved, Flat, list[Flat]]


class SimulatedCheckpoints(CheckpointStore):
    """As `CheckpointStore`, in memory. The newest committed model and one staged result are kept."""

    def __init__(self) -> None:  # no directory: nothing of the base's own state is used
        self._committed: Model | None = None
        self._staged: Model | None = None
        self.best: BestMark | None = None
        self.full = False
        self.staging: Callable[[str], None] = lambda _: None
        """Told `before` and `after` a result is staged."""

    def stage(self, saved: Saved, model: Flat, state: Sequence[Flat]) -> bool:
        """Keep an uncommitted result. False if memory has moved on meanwhile, as below."""
        self._check_room()
        self.staging("before")
        if not _is(saved, model, state):
            return False
        self._staged = _copy(saved, model, state)
        self.staging("after")
        return True

    def commit(self, saved: Saved, model: Flat, state: Sequence[Flat]) -> bool:
        """Keep a committed model."""
        self._check_room()
        staged = self._staged
        if staged and (staged[0].model, staged[0].state) == (saved.model, saved.state):
            self._committed = saved, staged[1], staged[2]
        elif _is(saved, model, state):
            self._committed = _copy(saved, model, state)
        else:
            return False
        if self._staged and self._staged[0].round <= saved.round:
            self._staged = None
        return True

    def pin(self, mark: BestMark) -> None:
        """Remember which round is the best."""
        self._check_room()
        self.best = mark

    def newest(self, run: str, layout: str, model: Flat, state: Sequence[Flat]) -> Saved | None:  # noqa: ARG002 - one run, one layout
        """Load the committed model, if there is one."""
        return _load(self._committed, model, state)

    def staged(self, run: str, layout: str, model: Flat, state: Sequence[Flat]) -> Saved | None:  # noqa: ARG002 - one run, one layout
        """Load the staged result, if there is one."""
        return _load(self._staged, model, state)

    def _check_room(self) -> None:
        if self.full:
            raise CheckpointError("The simulated disk is full (ENOSPC). Expected room for a checkpoint; make room.")


def _is(saved: Saved, model: Flat, state: Sequence[Flat]) -> bool:
    """Whether this still is what it was to be saved as: a slow worker may come when the driver has gone on."""
    return digests.of_model(model, state) == (saved.model, saved.state)


def _copy(saved: Saved, model: Flat, state: Sequence[Flat]) -> Model:
    return saved, model.copy(), [vector.copy() for vector in state]


def _load(kept: Model | None, model: Flat, state: Sequence[Flat]) -> Saved | None:
    if kept is None:
        return None
    np.copyto(model, kept[1])
    for vector, source in zip(state, kept[2], strict=True):
        np.copyto(vector, source)
    return kept[0]

"""Reads each committed model from the peers' disks as it is written: its digest, and for `onehot` who is in it."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyfl.apps.onehot import read_probes
from pyfl.chaos.process import ChaosPeer
from pyfl.checkpoints.reading import read_checkpoint
from pyfl.errors import AppError, CheckpointError
from pyfl.wire import digests

__all__ = ["Found", "Witness"]

PATIENCE_S = 5.0
KEPT = 4


class Found(NamedTuple):
    """A checkpoint on a peer's disk, digested again. `error`: it could not be read, though it stayed there."""

    peer: int
    round: int
    digest: str
    error: str = ""


class Witness:
    """`stride`: of the probes; 0 where the app has none. `expect` says what will be written, `look` reads what is there."""

    def __init__(self, peers: int, stride: int) -> None:
        self._peers, self._stride = peers, stride
        self._expected: dict[tuple[int, int], float] = {}
        self._models: dict[int, NDArray[np.float32]] = {}
        self.found: list[Found] = []
        self.counted: dict[int, NDArray[np.float64]] = {}
        """float64[peers] by round: how often each was counted, 1/n for each of n contributors."""
        self.unreadable: dict[int, str] = {}
        """Rounds whose probes contradict each other."""

    def expect(self, peer: ChaosPeer, number: int) -> None:
        """A peer has installed this round's model."""
        self._expected.setdefault((peer.index, number), time.monotonic())

    def look(self, peers: list[ChaosPeer]) -> None:
        """Read what has been written since; what its peer has replaced meanwhile is given up."""
        now = time.monotonic()
        for (index, number), since in list(self._expected.items()):
            path = peers[index].data_dir / "checkpoints" / f"round-{number:06d}.json"
            try:
                saved, model = read_checkpoint(path)
            except CheckpointError as error:
                if now - since < PATIENCE_S:
                    continue
                if path.exists() and peers[index].running:
                    self.found.append(Found(index, number, "", str(error)))
                del self._expected[index, number]
                continue
            del self._expected[index, number]
            self.found.append(Found(index, number, digests.combine(digests.of_vector(model))))
            if self._stride:
                self._keep(saved.round, model)

    def _keep(self, number: int, model: NDArray[np.float32]) -> None:
        if number in self._models:
            return
        self._models[number] = model
        for later in (number, number + 1):
            if later in self._models and later - 1 in self._models and later not in self.counted:
                try:
                    self.counted[later] = read_probes(self._models[later] - self._models[later - 1], self._stride, self._peers)
                except AppError as error:
                    self.unreadable[later] = str(error)
        for old in sorted(self._models)[:-KEPT]:
            del self._models[old]

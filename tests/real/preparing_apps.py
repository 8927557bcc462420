"""An app without a framework that asks for a statistic from which can be read whose data is in it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyfl.apps import App
from pyfl.apps.app import Assignment, Option
from pyfl.preparation import Ring
from pyfl.training.trainer import RoundInfo, TrainResult

__all__ = ["Preparing", "Whose", "app"]

LEAST = 2**64 - 2**40  # its limbs are all but full


@dataclass(frozen=True)
class Whose:
    """Peer `index` has 2^64 - 2^40 + index + 1 at each `peers`th number from `index` on."""

    length: int
    peers: int
    took_s: float

    def local(self, data: int) -> Ring:
        """Of a peer's index."""
        time.sleep(self.took_s)  # as reading much data does; nothing is waited for
        vector = np.zeros(self.length, np.uint64)
        vector[data :: self.peers] = LEAST + data + 1
        return vector.view(np.int64)

    def finish(self, total: Ring) -> tuple[int, ...]:
        """Whose data is in it."""
        rows = total[: len(total) // self.peers * self.peers].reshape(-1, self.peers)
        assert (rows == rows[0]).all(), "every part of the sum is of the same peers"
        counted = {index: int(value) for index, value in enumerate(rows[0]) if value}
        assert all(value == LEAST + index + 1 - 2**64 for index, value in counted.items()), f"each counts once: {counted}"
        return tuple(counted)


class Preparing:
    """Trains only with what was prepared: adds how many peers it is of."""

    def __init__(self, index: int, whose: Whose, train_s: float) -> None:
        self._index, self._whose, self._train_s = index, whose, train_s
        self._counted: tuple[int, ...] = ()

    def initial_weights(self) -> list[NDArray[np.float32]]:
        """Zeros."""
        return [np.zeros(100, np.float32)]

    def statistics(self) -> Mapping[str, tuple[Whose, int]]:
        """One."""
        return {"whose": (self._whose, self._index)}

    def prepared(self, results: Mapping[str, Any]) -> None:
        """Remember it."""
        assert not self._counted, "told once a life"
        self._counted = results["whose"]

    def train(self, weights: list[NDArray[np.float32]], round: RoundInfo) -> TrainResult:  # noqa: A002
        """Add the number of peers that the statistics are of."""
        assert self._counted, "told before training"
        time.sleep(self._train_s)  # the work itself
        return TrainResult([weights[0] + np.float32(len(self._counted))], 1)


def _trainer(assignment: Assignment, options: Mapping[str, Option]) -> Preparing:
    whose = Whose(int(options["numbers"]), assignment.of, float(options["sum_s"]))
    return Preparing(assignment.index, whose, float(options["train_s"]))


app = App(trainer=_trainer, options={"numbers": 200_000, "sum_s": 0.3, "train_s": 0.2})

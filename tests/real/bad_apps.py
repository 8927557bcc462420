"""Apps that misbehave, for the tests: `tests.real.bad_apps:app:fault=nan,who=1` and others."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyfl.apps import App
from pyfl.apps.app import Assignment, Option
from pyfl.training.trainer import RoundInfo, TrainResult

__all__ = ["app"]

SIZE = 100


class BadTrainer:
    """Adds one to every value; peer number `who` (-1: every peer) does `fault` in round `at` and after it."""

    def __init__(self, fault: str, at: int, size: int, seed: int = 0) -> None:
        self._fault, self._at, self._size, self._seed = fault, at, size, seed

    def initial_weights(self) -> list[NDArray[np.float32]]:
        """Zeros."""
        return [np.zeros(self._size, np.float32)]

    def train(self, weights: list[NDArray[np.float32]], round: RoundInfo) -> TrainResult:  # noqa: A002
        """Add one, or misbehave."""
        (values,) = weights
        values += 1.0
        if round.number < self._at:
            return TrainResult([values], 1, {})
        match self._fault:
            case "nan":
                values[SIZE // 2] = np.nan
            case "infinite":
                values[0] = np.inf
            case "seed":  # no fault: tells for which run this trainer was built
                values += float(self._seed % 1000)
            case "raise":
                raise RuntimeError("the user's code has a defect in it")
            case "forever":
                threading.Event().wait()
            case "shape":
                return TrainResult([values[1:]], 1, {})
            case _:
                pass
        return TrainResult([values], 1, {})


def _trainer(assignment: Assignment, options: Mapping[str, Option]) -> BadTrainer:
    once = Path(str(options["die_once"]))
    if str(options["die_once"]) and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    faulty = int(options["who"]) in (-1, assignment.index)
    return BadTrainer(str(options["fault"]) if faulty else "", int(options["at"]), int(options["size"]), assignment.seed)


app = App(trainer=_trainer, options={"fault": "", "who": -1, "at": 2, "size": SIZE, "die_once": ""})

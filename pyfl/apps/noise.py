"""Random updates of any size, to measure what a round costs without training. Needs no framework and no memory of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyfl.apps.app import App, Assignment, Option
from pyfl.apps.onehot import parse_size
from pyfl.training.layout import Layout, TensorSpec
from pyfl.training.trainer import Evaluation, Flat, RoundInfo, TrainOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["NoiseTrainer", "app"]

SCALE = np.float32(0.01)


class NoiseTrainer:
    """Adds normal noise of standard deviation 0.01 that differs between peers and rounds."""

    def __init__(self, size_bytes: int, index: int) -> None:
        self.layout = Layout((TensorSpec("noise", (max(1, size_bytes // 4),)),))
        self._index = index

    def initial(self, out: Flat) -> None:
        """All zeros."""
        out.fill(0.0)

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:  # noqa: ARG002
        """Write base plus noise, in place."""
        generator = np.random.default_rng((info.seed, info.number, self._index))
        generator.standard_normal(dtype=np.float32, out=out)
        np.multiply(out, SCALE, out=out)
        np.add(out, base, out=out)
        return TrainOutcome(1, {})

    def evaluate(self, weights: Flat, share: tuple[int, int]) -> Evaluation | None:  # noqa: ARG002
        """Nothing is held out."""
        return None


def _trainer(assignment: Assignment, options: Mapping[str, Option]) -> NoiseTrainer:
    return NoiseTrainer(parse_size(str(options["size"])), assignment.index)


app = App(trainer=_trainer, options={"size": "1MB"}, positional="size")

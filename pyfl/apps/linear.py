"""Least squares by gradient descent on made-up data, in NumPy: an example of a plain `Trainer`, and fast in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyfl.apps.app import App, Assignment, Option
from pyfl.training.trainer import Evaluation, RoundInfo, TrainResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["LinearTrainer", "app"]

NOISE = 0.1


class LinearTrainer:
    """Learns y = x w + b from this peer's samples; all peers' come from the same w and b, drawn from the seed."""

    names = ("weights", "bias")

    def __init__(self, assignment: Assignment, *, features: int, samples: int, steps: int, rate: float) -> None:
        truth = np.random.default_rng((assignment.seed, 0))
        self.true_weights = truth.normal(size=features).astype(np.float32)
        self.true_bias = np.float32(truth.normal())
        self._train = self._draw(np.random.default_rng((assignment.seed, 1, assignment.index)), samples)
        self._test = self._draw(np.random.default_rng((assignment.seed, 2, assignment.index)), max(samples // 4, 1))
        self._steps = steps
        self._rate = np.float32(rate)

    def _draw(self, draw: np.random.Generator, samples: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        x = draw.normal(size=(samples, len(self.true_weights))).astype(np.float32)
        noise = NOISE * draw.normal(size=samples).astype(np.float32)
        return x, (x @ self.true_weights + self.true_bias + noise).astype(np.float32)

    def initial_weights(self) -> list[NDArray[np.float32]]:
        """Zeros."""
        return [np.zeros_like(self.true_weights), np.zeros(1, np.float32)]

    def train(self, weights: list[NDArray[np.float32]], round: RoundInfo) -> TrainResult:  # noqa: A002, ARG002
        """Take `steps` full-batch gradient steps, in place."""
        w, b = weights
        x, y = self._train
        for _ in range(self._steps):
            residual = x @ w + b - y
            w -= self._rate * (x.T @ residual) / np.float32(len(y))
            b -= self._rate * residual.mean(dtype=np.float32)
        loss = float(np.mean((x @ w + b - y) ** 2))
        return TrainResult([w, b], len(y), {"loss": loss})

    def evaluate(self, weights: list[NDArray[np.float32]]) -> Evaluation:
        """Squared error on held-out samples of this peer."""
        w, b = weights
        x, y = self._test
        return Evaluation(len(y), float(np.sum((x @ w + b - y) ** 2)))


def _trainer(assignment: Assignment, options: Mapping[str, Option]) -> LinearTrainer:
    return LinearTrainer(
        assignment,
        features=int(options["features"]),
        samples=int(options["samples"]),
        steps=int(options["steps"]),
        rate=float(options["rate"]),
    )


app = App(trainer=_trainer, options={"features": 8, "samples": 64, "steps": 5, "rate": 0.1}, positional="features")

"""What a run gives to the program that took part in it: the committed rounds, and the model they led to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyfl.rounds.early_stopping import Best
from pyfl.training.layout import Layout

__all__ = ["CommittedRound", "KeptModel", "RunResult"]


@dataclass(frozen=True, slots=True)
class CommittedRound:
    """One committed round as one peer saw it."""

    number: int
    epoch: int
    digest: str
    """Of the committed model: the same at every peer."""
    contributors: tuple[str, ...]
    """Ids of the peers whose updates are in it."""
    contributed: bool
    """Whether this peer is among them."""
    void: bool
    """No usable result: the model is that of the round before."""
    accuracy: float | None
    """Of the committed model over the swarm's held-out data; None where nothing was evaluated."""
    loss: float | None
    train_s: float
    reduce_s: float
    scored: bool = False
    """Accuracy and loss are over held-out data; otherwise the loss is the mean of training."""


@dataclass(frozen=True, eq=False)
class KeptModel:
    """The weights of one committed round, float32[P]; this peer's own copy."""

    round: int
    flat: NDArray[np.float32]


@dataclass(frozen=True)
class RunResult:
    """A finished run."""

    layout: Layout
    flat: NDArray[np.float32]
    """The last committed model, float32[P], in the layout's order; this peer's own copy."""
    rounds: tuple[CommittedRound, ...]
    """Those that this peer saw committed, oldest first; a late joiner's begin where it joined."""
    best: Best | None = None
    """The best of all the swarm's rounds by its metric, whether this peer saw it or not."""
    kept: KeptModel | None = None
    """The best of the rounds above with its weights, where that was asked for."""

    @property
    def weights(self) -> list[NDArray[np.float32]]:
        """The last committed model as arrays, in the order of `Trainer.initial_weights`; views into `flat`."""
        return self.layout.views(self.flat)

"""What trains: the public `Trainer` over lists of arrays, and the `FlatTrainer` over flat vectors for the driver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyfl.preparation.statistic import Statistic
    from pyfl.training.layout import Layout

__all__ = ["Evaluation", "FlatTrainer", "PreparingTrainer", "RoundInfo", "TrainOutcome", "TrainResult", "Trainer", "read_only"]

Flat = NDArray[np.float32]


def read_only(vector: Flat) -> Flat:
    """The same memory, which cannot be written through this view."""
    view = vector.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, slots=True)
class RoundInfo:
    """What a trainer is told of the round it trains for."""

    number: int
    """The round, from 1."""
    rounds: int
    """The run's last round."""
    attempt: int = 0
    """How often this round was opened before: a re-opened round draws other batches."""
    seed: int = 0
    """The run's seed, the same at every peer."""
    deadline_s: float | None = None
    """When training ends, on `time.monotonic()`; None: no deadline."""
    peer: str = ""
    """The id of the peer that trains."""


@dataclass(frozen=True, slots=True)
class TrainOutcome:
    """What one round of local training did: samples processed (its weight in the mean) and metrics such as `loss`."""

    samples: int
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a `Trainer` hands back: its weights after training, float32 and shaped as it got them."""

    weights: list[NDArray[np.float32]]
    samples: int
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Sums over held-out samples, so that the evaluations of several peers add up to the swarm's."""

    samples: int
    loss_sum: float
    correct: int | None = None
    """None where "correct" has no meaning, as in regression."""

    def __add__(self, other: Evaluation) -> Evaluation:
        """Evaluate both sets of samples together."""
        both = self.correct is not None and other.correct is not None
        return Evaluation(
            self.samples + other.samples,
            self.loss_sum + other.loss_sum,
            (self.correct or 0) + (other.correct or 0) if both else None,
        )

    @property
    def loss(self) -> float | None:
        """Mean loss; None without samples."""
        return self.loss_sum / self.samples if self.samples else None

    @property
    def accuracy(self) -> float | None:
        """Share of correct samples; None without samples or where it has no meaning."""
        return self.correct / self.samples if self.samples and self.correct is not None else None


class Trainer(Protocol):
    """Anything that can be federated: two methods over lists of float32 arrays.

    A third, `evaluate(weights) -> Evaluation`, is used when it is there (see `EvaluatingTrainer`). A list `names` gives
    the arrays names for messages and records; without it they are `array_0`, `array_1` ...
    """

    def initial_weights(self) -> list[NDArray[np.float32]]:
        """Return the weights the run starts from, if this peer founds it; their shapes are the layout."""
        ...

    def train(self, weights: list[NDArray[np.float32]], round: RoundInfo) -> TrainResult:  # noqa: A002
        """Train from `weights`. They may be changed in place and returned, and are valid until this returns."""
        ...


class EvaluatingTrainer(Trainer, Protocol):
    """A trainer that can also say how good a model is."""

    def evaluate(self, weights: list[NDArray[np.float32]]) -> Evaluation:
        """Evaluate on this peer's held-out data. `weights` are read-only."""
        ...


class PreparingTrainer(Trainer, Protocol):
    """A trainer that begins with what it learns of everyone's data; a `FlatTrainer` may have the two methods as well."""

    def statistics(self) -> Mapping[str, tuple[Statistic, Any]]:
        """Return what is to be known, by name: a statistic, the same at every peer, and the part of this peer's data that it is of."""
        ...

    def prepared(self, results: Mapping[str, Any]) -> None:
        """Take the results, by name, the same at every peer: once, before the first `train`, also where a peer joins late or restarts."""
        ...


class FlatTrainer(Protocol):
    """A trainer over the flat vector, without copies: what the round driver calls, one call at a time."""

    @property
    def layout(self) -> Layout:
        """The tensors of the model; P below is `layout.size`."""
        ...

    def initial(self, out: Flat) -> None:
        """Write model 0 into `out`, float32[P]. The same model every time it is called."""
        ...

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:
        """Train from `base` (float32[P], read-only) and write the weights after it (not the difference) into `out`.

        Ends at a batch boundary once `stop()` is true and reports the samples processed so far; `out` then holds the
        weights reached. Not a number in `out` is for the caller to find.
        """
        ...

    def evaluate(self, weights: Flat, share: tuple[int, int]) -> Evaluation | None:
        """Evaluate this peer's share (index, count) of the held-out data; None when there is none.

        The shares 0..count-1 are disjoint and cover the data, so their evaluations add up.
        """
        ...

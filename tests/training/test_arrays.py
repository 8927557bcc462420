"""The plain `Trainer` over lists of arrays, seen by the driver as a flat vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pyfl.errors import ModelMismatch, TrainingError
from pyfl.training import Evaluation, RoundInfo, TrainResult, from_trainer

if TYPE_CHECKING:
    from collections.abc import Callable

Arrays = list[np.ndarray]


class Scripted:
    """Two arrays; `train` does what the test says."""

    def __init__(self, step: Callable[[Arrays], object]) -> None:
        self.step = step

    def initial_weights(self) -> Arrays:
        return [np.full((2, 2), 1.0, np.float32), np.full(3, 2.0, np.float32)]

    def train(self, weights: Arrays, round: RoundInfo) -> object:  # noqa: A002
        return self.step(weights)


def train(step: Callable[[Arrays], object]) -> np.ndarray:
    trainer = from_trainer(Scripted(step))  # type: ignore[arg-type]
    base, out = np.empty(7, np.float32), np.full(7, 9.0, np.float32)
    trainer.initial(base)
    before = base.copy()
    base.flags.writeable = False
    trainer.train(base, out, RoundInfo(1, 1), lambda: False)
    assert np.array_equal(base, before)
    return out


def in_place(weights: Arrays) -> TrainResult:
    for array in weights:
        array += 1
    return TrainResult(weights, 1)


@pytest.mark.parametrize(
    "step",
    [
        in_place,
        lambda w: TrainResult([w[0] + 1, w[1] + 1], 1),
        lambda w: TrainResult([in_place(w).weights[0].copy(), w[1]], 1),
    ],
)
def test_weights_may_be_changed_in_place_or_made_anew(step: Callable[[Arrays], object]) -> None:
    assert train(step).tolist() == [2, 2, 2, 2, 3, 3, 3]


def test_arrays_that_overlap_the_output_are_read_before_they_are_overwritten() -> None:
    def swap(weights: Arrays) -> TrainResult:
        flat = weights[0].base if weights[0].base is not None else weights[0]
        flat[:] = np.arange(7)
        return TrainResult([flat[3:7].reshape(2, 2), flat[0:3]], 1)

    assert train(swap).tolist() == [3, 4, 5, 6, 0, 1, 2]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda w: TrainResult(w[:1], 1), "1 arrays; expected 2"),
        (lambda w: TrainResult([w[0], np.zeros(4, np.float32)], 1), r"array_1 with shape \(4,\); expected \(3,\)"),
        (lambda w: TrainResult([w[0].astype(np.float64), w[1]], 1), "array_0 as float64; expected float32"),
        (lambda w: TrainResult([w[0], [1.0, 2.0, 3.0]], 1), "list for array_1"),  # type: ignore[list-item]
    ],
)
def test_arrays_of_another_kind_are_refused_by_name(step: Callable[[Arrays], object], words: str) -> None:
    with pytest.raises(ModelMismatch, match=words):
        train(step)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda w: w, "returned list; expected pyfl.TrainResult"),
        (lambda w: TrainResult(w, -1), "samples=-1"),
        (lambda w: TrainResult(w, 1.5), "samples=1.5"),  # type: ignore[arg-type]
        (lambda w: TrainResult(w, True), "samples=True"),
        (lambda w: TrainResult(w, 1, {"loss": "low"}), "'loss' is 'low'"),  # type: ignore[dict-item]
    ],
)
def test_results_that_mean_nothing_are_refused(step: Callable[[Arrays], object], words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        train(step)


def test_evaluations_add_up() -> None:
    both = Evaluation(2, 1.0, 1) + Evaluation(6, 3.0, 5)
    assert both == Evaluation(8, 4.0, 6)
    assert (both.loss, both.accuracy) == (0.5, 0.75)
    assert (both + Evaluation(2, 1.0)).correct is None
    assert Evaluation(0, 0.0, 0).accuracy is None

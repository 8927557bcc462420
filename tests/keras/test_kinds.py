"""Whatever kind of model: one peer's rounds are what Keras's own epochs are, and two peers with the same data do the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pyfl.overlay.protocol import Committee
from pyfl.simulation.swarm import SimulatedSwarm
from pyfl.training import Evaluation, FlatTrainer, Layout, RoundInfo, TrainOutcome
from pyfl.training.keras_choice import choose_trainer
from pyfl.training.keras_data import training_data
from pyfl.training.keras_fit import FitTrainer
from pyfl.training.keras_model import ResidentModel
from pyfl.training.seeds import generator
from tests.keras.kinds import BATCH, KINDS, SAMPLES, Kind, keras

ROUNDS, SEED = 2, 7


class AsPeerA:
    """Draws what peer "a" would draw, whichever peer it trains for: so two peers with the same data do the same."""

    def __init__(self, trainer: FlatTrainer) -> None:
        self._trainer = trainer
        self.outcomes: list[TrainOutcome] = []

    @property
    def layout(self) -> Layout:
        return self._trainer.layout

    def initial(self, out: np.ndarray) -> None:
        self._trainer.initial(out)

    def train(self, base: np.ndarray, out: np.ndarray, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:
        outcome = self._trainer.train(base, out, replace(info, peer="a", seed=SEED), stop)
        self.outcomes.append(outcome)
        return outcome

    def evaluate(self, weights: np.ndarray, share: tuple[int, int]) -> Evaluation | None:
        return None


def federated(trainer: AsPeerA, peers: int) -> np.ndarray:
    swarm = SimulatedSwarm(SEED, peers, lambda index: trainer, rounds=ROUNDS)
    founder = next(iter(swarm.current))
    for peer in swarm.current.values():  # the simulated ledger tells of changes of its committee, and with so few peers there are none
        peer.driver.handle(Committee([founder], "", 1))
    assert swarm.run(600.0)
    return next(iter(swarm.current.values())).models[ROUNDS]


def built(kind: Kind) -> Any:
    keras.utils.set_random_seed(SEED)
    return kind.build()


def trainer_of(kind: Kind) -> AsPeerA:
    arguments = kind.arguments()
    classes = arguments.pop("class_weight", None)
    trainer, why = choose_trainer(
        built(kind), training_data(**arguments, class_weight=classes), batch_size=BATCH, shuffle=False, class_weight=classes,
        optimizer_state="keep" if kind.keep else "reset",
    )  # fmt: skip
    assert (why == "") == kind.fast, why
    return AsPeerA(trainer)


def plain_keras(kind: Kind) -> tuple[np.ndarray, dict[str, float]]:
    """The same model by Keras alone: an epoch for each round, on the same order and the same random states of layers."""
    arguments = kind.arguments()
    model = built(kind)
    data = training_data(arguments["x"], arguments.get("y"))
    resident = ResidentModel(model, data.one_sample, "keep")
    history: dict[str, float] = {}
    for number in range(1, ROUNDS + 1):
        states = generator(RoundInfo(number, ROUNDS, peer="a", seed=SEED), "layers")
        for variable in model.non_trainable_variables:
            if variable.path.endswith("seed_generator_state"):
                variable.assign(states.integers(0, 2**32, size=variable.shape, dtype=np.uint32))
        batch = {"batch_size": BATCH} if "y" in arguments else {}
        told = model.fit(**arguments, **batch, initial_epoch=number - 1, epochs=number, shuffle=False, verbose=0)
        history = {name: values[-1] for name, values in told.history.items()}
    out = np.empty(resident.layout.size, np.float32)
    resident.variables.store(out)
    return out, history


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_one_peer_is_plain_keras_and_two_with_the_same_data_are_one(kind: Kind) -> None:
    expected, history = plain_keras(kind)
    trainer = trainer_of(kind)
    start = np.empty(trainer.layout.size, np.float32)
    trainer.initial(start)
    one = federated(trainer, 1)
    assert not np.allclose(one, start, atol=1e-3), "nothing was learned, so nothing is shown"
    np.testing.assert_allclose(one, expected, atol=kind.tolerance)
    last = trainer.outcomes[-1]
    assert last.samples == SAMPLES
    assert set(last.metrics) == set(history)
    for name, value in history.items():
        assert last.metrics[name] == pytest.approx(value, rel=1e-2 if kind.tolerance > 1e-3 else 1e-3, abs=1e-5), name
    if not kind.keep:  # kept, the optimizer's state would be two peers' at once
        np.testing.assert_allclose(federated(trainer, 2), one, atol=1e-6)


def test_a_frozen_layer_stays_as_it_was_and_statistics_move() -> None:
    kind = next(kind for kind in KINDS if kind.name.startswith("frozen"))
    trainer = trainer_of(kind)
    start = np.empty(trainer.layout.size, np.float32)
    trainer.initial(start)
    end = federated(trainer, 2)
    before, after = (dict(zip([t.name for t in trainer.layout.tensors], trainer.layout.views(v), strict=True)) for v in (start, end))
    assert np.array_equal(before["frozen/kernel"], after["frozen/kernel"])
    assert not np.allclose(before["batch_normalization/moving_mean"], after["batch_normalization/moving_mean"])
    assert [tensor.trainable for tensor in trainer.layout.tensors if "moving" in tensor.name] == [False, False]


def test_the_fast_loop_and_fit_are_the_same_to_the_last_bit() -> None:
    kind = next(kind for kind in KINDS if kind.name == "Dropout")
    arguments = kind.arguments()
    fast = trainer_of(kind)
    slow = AsPeerA(FitTrainer(built(kind), training_data(**arguments), batch_size=BATCH))
    quick = AsPeerA(choose_trainer(built(kind), training_data(**arguments), batch_size=BATCH)[0])
    assert fast.layout == slow.layout
    assert np.array_equal(federated(slow, 1), federated(quick, 1))

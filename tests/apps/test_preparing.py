"""A Keras app that asks for statistics: its trainer, its predictions, and what is wrong with such an app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from pyfl.apps import App
from pyfl.apps.app import Assignment
from pyfl.apps.committed import rebuild
from pyfl.apps.digits import app as plain
from pyfl.checkpoints import Saved
from pyfl.datasets.dataset import Dataset
from pyfl.errors import AppError, TrainingError
from pyfl.preparation import Moments
from pyfl.preparation.plan import asked_of, give, results, statistics_of, summand
from pyfl.preparation.wire import from_wire
from pyfl.training.trainer import FlatTrainer, RoundInfo

PARTS = 3


def prepared(data: Dataset, swarm: Mapping[str, Any]) -> Dataset:
    mean = np.float32(swarm["pixels"].mean[0])
    return replace(data, x_train=data.x_train - mean, x_test=data.x_test - mean)


def trains(data: Dataset) -> Any:
    return data.x_train


APP = replace(plain, prepare={"pixels": (Moments(1), trains)}, prepared=prepared, name="centred")


def swarm_total(app: App) -> np.ndarray:
    limbs = np.add.reduce([summand(app.build(index, PARTS)) for index in range(PARTS)], dtype=np.int32)
    return from_wire(limbs)


def trained(trainer: FlatTrainer) -> np.ndarray:
    base, out = (np.empty(trainer.layout.size, np.float32) for _ in range(2))
    trainer.initial(base)
    assert trainer.train(base, out, RoundInfo(1, 2, seed=5, peer="a"), lambda: False).samples > 0
    assert trainer.evaluate(out, (0, 1)) is not None
    return out


def test_a_prepared_app_trains_as_one_whose_data_was_prepared_beforehand() -> None:
    total = swarm_total(APP)
    found = results({"pixels": Moments(1)}, total)
    everything = plain.share(Assignment(0, 1, 0), plain.settings())
    assert found["pixels"].count == everything.x_train.size
    np.testing.assert_allclose(found["pixels"].mean[0], everything.x_train.mean(dtype=np.float64), atol=1e-5)

    trainer = APP.build(1, PARTS, seed=3)
    assert [one.name for one in asked_of(trainer)] == ["pixels"]
    give(trainer, found)
    own = plain.share(Assignment(1, PARTS, 3), plain.settings())
    beforehand = replace(plain, data=None, own_data=lambda _: prepared(own, found)).build(1, PARTS, seed=3)
    assert statistics_of(beforehand) == {}
    assert np.array_equal(trained(trainer), trained(beforehand))


def test_training_before_the_preparation_is_a_typed_error() -> None:
    trainer = APP.build(1, PARTS)
    with pytest.raises(TrainingError, match="not prepared yet"):
        trained(trainer)


def test_predictions_are_of_prepared_inputs() -> None:
    model = APP.new_model(APP.settings())
    trainer = plain.build(0, PARTS)
    weights = np.empty(trainer.layout.size, np.float32)
    trainer.initial(weights)
    total = swarm_total(APP)
    saved = Saved("run", trainer.layout.digest, 3, 1, "", "", 1, "centred", statistics=total.tobytes())
    asks = rebuild(saved, weights, APP)
    inputs = plain.share(Assignment(0, 1, 0), plain.settings()).x_test[:4]
    mean = np.float32(results({"pixels": Moments(1)}, total)["pixels"].mean[0])
    wanted: Any = keras.ops.convert_to_numpy(keras.ops.softmax(asks.model(inputs - mean)))
    for guesses, row in zip(asks.guess(inputs, top=10), wanted, strict=True):
        for guess in guesses:
            assert guess.probability == pytest.approx(row[guess.label], rel=1e-4)
    without = rebuild(replace_statistics(saved), weights, APP)
    with pytest.raises(AppError, match="asks for statistics of 12 numbers, and the checkpoint has 0"):
        without.guess(inputs)
    assert model.built


def replace_statistics(saved: Saved) -> Saved:
    return Saved(saved.run, saved.layout, saved.round, saved.epoch, saved.model, saved.state)


def test_what_is_wrong_with_an_app_that_asks() -> None:
    with pytest.raises(AppError, match=r"both prepare .* and prepared"):
        replace(plain, prepare={"pixels": (Moments(1), trains)})
    with pytest.raises(AppError, match=r"both prepare .* and prepared"):
        replace(plain, prepared=prepared)
    with pytest.raises(AppError, match="leaves prepare out"):
        App(trainer=lambda *_: None, prepare={"pixels": (Moments(1), trains)}, prepared=prepared)  # type: ignore[arg-type, return-value]
    forgets = replace(APP, prepared=lambda *_: None).build(1, PARTS)  # type: ignore[arg-type, return-value]
    with pytest.raises(AppError, match="prepared returned NoneType; expected a Dataset"):
        give(forgets, results({"pixels": Moments(1)}, swarm_total(APP)))

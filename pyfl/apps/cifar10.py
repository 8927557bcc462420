"""CIFAR-10 with the original system's convolutional network, or with NIID-Bench's small one."""

from __future__ import annotations

from typing import Any

from pyfl.apps.app import App
from pyfl.apps.augmentation import flip_and_shift
from pyfl.apps.images import ImageInput
from pyfl.datasets.cifar10 import CLASSES, cifar10
from pyfl.training.tensorflow_runtime import import_keras

__all__ = ["SHIFT", "app", "network"]

SHIFT = 3


def network(model: str = "original", augment: int = 0) -> Any:
    """Make the compiled network; it takes pixels 0 to 255 as uint8 and gives logits.

    `original`, 550,570 parameters: three pairs of 3 x 3 convolutions of 32, 64 and 128 filters, each pair followed by
    pooling, which leaves 4 x 4 x 128 = 2,048 values for a dense layer of 128 and one of 10. Convolutions 287,008, dense
    262,272 + 1,290. No batch normalisation, whose parameters would not fit in the sum. Adam.

    `niid`, 62,006 parameters: convolutions of 6 and 16 filters of 5 x 5 without padding, each followed by pooling, then
    dense layers of 120, 84 and 10 (Li et al., Federated Learning on Non-IID Data Silos, 2022, arXiv:2102.02079). SGD 0.01
    with momentum 0.9.

    `augment`: random flips and shifts of up to 3 pixels in training.
    """
    keras = import_keras()
    layers = keras.layers
    front = [layers.Input((32, 32, 3), dtype="uint8"), layers.Rescaling(1 / 255)]
    if augment:
        front.append(flip_and_shift(SHIFT))
    body, optimizer = (_niid if model == "niid" else _original)(keras)
    made = keras.Sequential([*front, *body, layers.Dense(10)], name=f"cifar10_{model}")
    made.compile(optimizer=optimizer, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


def _original(keras: Any) -> tuple[list[Any], Any]:
    layers = keras.layers
    body: list[Any] = []
    for filters in (32, 64, 128):
        body += [layers.Conv2D(filters, 3, padding="same", activation="relu") for _ in range(2)]
        body.append(layers.MaxPooling2D())
    return [*body, layers.Flatten(), layers.Dense(128, activation="relu")], keras.optimizers.Adam()


def _niid(keras: Any) -> tuple[list[Any], Any]:
    layers = keras.layers
    body: list[Any] = []
    for filters in (6, 16):
        body += [layers.Conv2D(filters, 5, activation="relu"), layers.MaxPooling2D()]
    body += [layers.Flatten(), layers.Dense(120, activation="relu"), layers.Dense(84, activation="relu")]
    return body, keras.optimizers.SGD(0.01, momentum=0.9)


app = App(
    model=network,
    data=cifar10,
    options={"model": "original", "augment": 0, "data": "", "download": 0},
    presets={"original": {"local_epochs": 2, "batch_size": 16}, "niid": {"local_epochs": 1, "batch_size": 64}},
    at_rest={"augment": 0},
    local=frozenset({"data", "download"}),
    images=ImageInput(32, 32, 3, CLASSES),
)

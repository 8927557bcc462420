"""Images a second in training on one core: a bare tf.function loop, pyfl's fast loop, model.fit, and model.fit with FederatedCallback.

The 62,006-parameter CNN (conv 6 and 16 of 5 x 5, dense 120-84-10) on made-up 32 x 32 x 3 images, batch 64, SGD with momentum. The four
take turns, so that what else the machine does hits them alike; medians of five. One JSON line at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("PYFL_SWARM_KEY", "5e" * 32)

import numpy as np

import pyfl
from pyfl.training import RoundInfo
from pyfl.training.keras_trainer import KerasTrainer
from pyfl.training.tensorflow_runtime import import_keras, import_tensorflow, set_threads

set_threads(1, 1)
keras: Any = import_keras()
tf: Any = import_tensorflow()
BATCH = 64
Cost = tuple[float, float]
"""Seconds by the clock, and of processor time: the second is what a machine that others share can be asked for."""


def now() -> Cost:
    """Both clocks."""
    return time.perf_counter(), time.process_time()


def since(began: Cost) -> Cost:
    """What has passed."""
    wall, cpu = now()
    return wall - began[0], cpu - began[1]


def network() -> Any:
    """The small CNN, compiled."""
    layers = keras.layers
    model = keras.Sequential([
        layers.Input((32, 32, 3)),
        layers.Conv2D(6, 5, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(16, 5, activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(120, activation="relu"), layers.Dense(84, activation="relu"), layers.Dense(10),
    ])  # fmt: skip
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def bare(x: Any, y: Any) -> Callable[[], Cost]:
    """One epoch of the shortest loop there is: the whole epoch in one graph, nothing but forward, backward and step."""
    model, samples = network(), len(x)
    data, targets = tf.constant(x), tf.constant(y)
    model.optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def epoch(order: Any) -> Any:
        def step(first: Any) -> Any:
            chosen = order[first : first + BATCH]
            with tf.GradientTape() as tape:
                loss = model.loss(tf.gather(targets, chosen), model(tf.gather(data, chosen), training=True))
            model.optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            return (first + BATCH,)

        return tf.while_loop(lambda first: first < samples, step, (tf.constant(0),), parallel_iterations=1)

    def run() -> Cost:
        began = now()
        epoch(tf.random.shuffle(tf.range(samples)))
        return since(began)

    return run


def fast(x: Any, y: Any) -> Callable[[], Cost]:
    """One round of pyfl's loop: weights in, an epoch, weights out."""
    trainer = KerasTrainer(network(), x, y, batch_size=BATCH)
    base, out = np.empty(trainer.layout.size, np.float32), np.empty(trainer.layout.size, np.float32)
    trainer.initial(base)
    numbers = iter(range(1, 1000))

    def run() -> Cost:
        began = now()
        trainer.train(base, out, RoundInfo(next(numbers), 1000), lambda: False)
        return since(began)

    return run


class Stamps(keras.callbacks.Callback):  # type: ignore[misc]
    """When each epoch began and ended, callbacks before this one included."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[Cost] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Stamp."""
        self.times.append(now())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Stamp."""
        self.times.append(now())

    def second(self) -> Cost:
        """Cost of the second epoch of three: the first sets fit up, the last round also ends the run."""
        return self.times[3][0] - self.times[2][0], self.times[3][1] - self.times[2][1]


def fit(x: Any, y: Any) -> Callable[[], Cost]:
    """One epoch inside model.fit."""
    model = network()

    def run() -> Cost:
        stamps = Stamps()
        model.fit(x, y, batch_size=BATCH, epochs=3, verbose=0, callbacks=[stamps])
        return stamps.second()

    return run


def federated_fit(x: Any, y: Any) -> Callable[[], Cost]:
    """One epoch inside model.fit, a whole round of a swarm of one peer in it."""
    model = network()

    def run() -> Cost:
        stamps = Stamps()
        with tempfile.TemporaryDirectory() as directory, pyfl.Peer("127.0.0.1:0", data_dir=directory, serve=False) as peer:
            callback = pyfl.keras.FederatedCallback(peer, min_peers=1)
            model.fit(x, y, batch_size=BATCH, epochs=3, verbose=0, callbacks=[callback, stamps])
        return stamps.second()

    return run


def main() -> None:
    """Measure and tell."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--images", type=int, default=6400)
    arguments.add_argument("--repeats", type=int, default=5)
    options = arguments.parse_args()
    draw = np.random.default_rng(0)
    x = draw.normal(size=(options.images, 32, 32, 3)).astype(np.float32)
    y = draw.integers(0, 10, options.images)
    ways = {"bare_loop": bare(x, y), "fast_loop": fast(x, y), "fit": fit(x, y), "fit_federated": federated_fit(x, y)}
    for run in ways.values():
        run()
    times: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, run in ways.items():
            times[name].append(run())

    def speed(clock: int) -> dict[str, int]:
        return {name: round(options.images / statistics.median(cost[clock] for cost in costs)) for name, costs in times.items()}

    def share(way: str, of: str, clock: int) -> float:
        pairs = zip(times[of], times[way], strict=True)
        return round(statistics.median(other[clock] / own[clock] for other, own in pairs), 3)

    summary = {
        "event": "summary", "images": options.images, "batch": BATCH, "images_per_s": speed(0), "images_per_cpu_s": speed(1),
        "fast_of_bare": share("fast_loop", "bare_loop", 0), "fast_of_bare_cpu": share("fast_loop", "bare_loop", 1),
        "federated_of_fit": share("fit_federated", "fit", 0), "federated_of_fit_cpu": share("fit_federated", "fit", 1),
    }  # fmt: skip
    print(json.dumps(summary))


if __name__ == "__main__":
    main()

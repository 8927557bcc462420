"""Plain federated averaging in one process: what a swarm is compared with. No peers, no messages, no fixed-point numbers.

It shares with a swarm what must be the same for the comparison to mean something: the app's network and its first weights, how the data
is divided, and the order of the batches, which derives from (seed, round, attempt, peer). Training, averaging and evaluation are
written out here. With the peers' ids of a demo the two should differ by rounding alone:

    pyfl demo --peers 10 --app cifar10 --model niid --partition dirichlet:0.5 --rounds 50 --seed 1 --data cifar10.npz --json > demo.jsonl
    python experiments/fedavg_baseline.py --peers 10 --app cifar10 --model niid --partition dirichlet:0.5 --rounds 50 --seed 1 \
        --data cifar10.npz --demo demo.jsonl

So do threads: with two an operation instead of a peer's one, convolutions add in another order, and the third digit of the
accuracy moves. States of dropout and augmentation are not made equal to the swarm's: with those, compare means of several seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from pyfl.apps import Assignment, load_app
from pyfl.training import RoundInfo
from pyfl.training.seeds import generator
from pyfl.training.tensorflow_runtime import import_keras, import_tensorflow, set_threads

EVALUATION_BATCH = 500


def main() -> None:
    """Run it, a line of JSON a round; the last is a summary."""
    arguments = parse()
    chosen = {
        name: getattr(arguments, name) for name in ("model", "partition", "data", "limit_samples") if getattr(arguments, name) is not None
    }
    app = load_app(arguments.app).with_options(chosen)
    demo = read_demo(arguments.demo)
    settings = app.settings()
    epochs, batch_size = int(settings["local_epochs"]), int(settings["batch_size"])

    keras, tf = import_keras(), import_tensorflow()
    set_threads(arguments.threads, min(arguments.threads, 1))
    shares = [app.share(Assignment(index, arguments.peers, arguments.seed), settings) for index in range(arguments.peers)]
    keras.utils.set_random_seed(arguments.seed)
    model = app.new_model(settings)
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)
    slots = [variable for variable in optimizer.variables if variable is not optimizer._learning_rate]
    x_test, y_test = tf.constant(shares[0].x_test), tf.constant(shares[0].y_test)
    data = [(tf.constant(share.x_train), tf.constant(share.y_train)) for share in shares]

    @tf.function(reduce_retracing=True)
    def epoch(x: Any, y: Any, order: Any) -> Any:
        loss_sum = 0.0
        for begin in tf.range(0, tf.size(order), batch_size):
            chosen = order[begin : begin + batch_size]
            with tf.GradientTape() as tape:
                loss = model.compute_loss(y=tf.gather(y, chosen), y_pred=model(tf.gather(x, chosen), training=True))
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            loss_sum += loss * tf.cast(tf.size(chosen), tf.float32)
        return loss_sum

    def train(index: int, number: int) -> float:
        for slot in slots:
            slot.assign(tf.zeros_like(slot))
        peer = demo["ids"].get(index, f"peer-{index}")
        draw = generator(RoundInfo(number, arguments.rounds, 0, arguments.seed, None, peer), "order")
        x, y = data[index]
        return sum(float(epoch(x, y, tf.constant(draw.permutation(len(y)).astype(np.int32)))) for _ in range(epochs))

    def evaluate() -> tuple[float, float]:
        correct, loss_sum = 0, 0.0
        for begin in range(0, len(y_test), EVALUATION_BATCH):
            y = y_test[begin : begin + EVALUATION_BATCH]
            outputs = model(x_test[begin : begin + EVALUATION_BATCH], training=False)
            loss_sum += float(model.compute_loss(y=y, y_pred=outputs, training=False)) * len(y)
            correct += int(tf.reduce_sum(tf.cast(tf.equal(tf.argmax(outputs, -1), tf.cast(y, tf.int64)), tf.int32)))
        return correct / len(y_test), loss_sum / len(y_test)

    samples = np.array([len(share.y_train) for share in shares], np.float64)
    weights: list[Any] = model.get_weights()
    rounds: list[dict[str, Any]] = []
    for number in range(1, arguments.rounds + 1):
        mean = [np.zeros(tensor.shape, np.float64) for tensor in weights]
        began = time.monotonic()
        for index in range(arguments.peers):
            model.set_weights(weights)
            train(index, number)
            for total, tensor in zip(mean, model.get_weights(), strict=True):
                total += tensor * (samples[index] / samples.sum())
        took = time.monotonic() - began
        weights = [total.astype(np.float32) for total in mean]
        model.set_weights(weights)
        accuracy, loss = evaluate()
        line = {"round": number, "accuracy": accuracy, "loss": loss, "train_s": took, "images_per_s": epochs * samples.sum() / took}
        there = demo["rounds"].get(number)
        if there:
            line |= {"demo_accuracy": there["accuracy"], "demo_loss": there["loss"]}
        rounds.append(line)
        print(json.dumps(line), flush=True)
    print(json.dumps({"event": "summary", "seed": arguments.seed, "samples": samples.tolist(), "accuracy": rounds[-1]["accuracy"]}))


def parse() -> argparse.Namespace:
    """The options, named as `pyfl demo` names them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--peers", type=int, default=10)
    parser.add_argument("--app", default="cifar10")
    parser.add_argument("--model")
    parser.add_argument("--partition")
    parser.add_argument("--data")
    parser.add_argument("--limit-samples", type=int)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--threads", type=int, default=1, help="threads an operation, as peers have; 0: one a core, for the speed of the machine"
    )
    parser.add_argument("--demo", type=Path, help="a demo's JSON lines: take its peers' ids, and show its figures beside these")
    return parser.parse_args()


def read_demo(path: Path | None) -> dict[str, dict[int, Any]]:
    """Of a demo's JSON lines: the peers' ids by index, and the committed rounds by number."""
    found: dict[str, dict[int, Any]] = {"ids": {}, "rounds": {}}
    for text in path.read_text().splitlines() if path else ():
        line = json.loads(text)
        if "index" in line and "peer" in line:
            found["ids"][line["index"]] = line["peer"]
        if line.get("event") == "summary":
            found["rounds"] = {one["round"]: one for one in line["rounds"]}
    return found


if __name__ == "__main__":
    main()

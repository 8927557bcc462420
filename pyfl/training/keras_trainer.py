"""A compiled Keras model as a `FlatTrainer`: built once, resident, its loop traced once by TensorFlow.

A hand-written `tf.function` loop over data held as tensors is 2-3 times as fast as `fit` on small models. One round's
training is a function of the base weights and the round alone: batch order, layers' random states, optimizer slots and
the step of learning-rate schedules are set from (seed, round, attempt, peer) each time; nothing is carried over.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pyfl.errors import DataError, TrainingError
from pyfl.training.keras_data import ArrayData, SourceData, TrainingData, training_data
from pyfl.training.keras_model import ResidentModel
from pyfl.training.label_counts import label_counts
from pyfl.training.seeds import generator
from pyfl.training.tensorflow_runtime import import_keras, import_tensorflow
from pyfl.training.trainer import Evaluation, Flat, RoundInfo, TrainOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyfl.training.keras_optimizer import OptimizerState
    from pyfl.training.layout import Layout

__all__ = ["KerasTrainer"]

# How long the loop runs between two looks at `stop`: a deadline is met within half a second, at 0.02 % overhead.
CHUNK_S = 0.25
EVALUATION_BATCH = 256


class KerasTrainer:
    """Trains and evaluates a compiled Keras model on this peer's data.

    `x`, `y` (and `x_test`, `y_test`, the held-out data that all peers share) are arrays, or tuples, lists or dicts of arrays
    for models with several inputs or outputs; axis 0 counts samples. Any loss, metrics and optimizer; regularisation and `add_loss`
    count. Losses and metrics told are those of the last local epoch, as `fit` tells them.

    Raises `NoTrainableWeights`, `ModelMismatch`, `DataError` and `TrainingError`.
    """

    def __init__(
        self,
        model: Any,
        x: Any,
        y: Any,
        x_test: Any = None,
        y_test: Any = None,
        *,
        local_epochs: int = 1,
        batch_size: int = 32,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        shuffle: bool = True,
        optimizer_state: OptimizerState = "reset",
    ) -> None:
        tf = import_tensorflow()
        if local_epochs < 1 or batch_size < 1:
            raise TrainingError(f"local_epochs is {local_epochs} and batch_size {batch_size}; both must be at least 1.")
        self._tf = tf
        self._local_epochs, self._batch_size, self._shuffle = local_epochs, batch_size, shuffle
        data = _arrays(training_data(x, y, sample_weight, class_weight))
        self.samples = data.samples
        if self.samples == 0:
            raise DataError("This peer has no training samples. Give it a share of the data, or fewer peers.")
        self._resident = ResidentModel(model, data.one_sample, optimizer_state)
        self._model = model
        self.label_counts = label_counts(data.y)
        """Samples of each label; empty where the targets are no classes."""
        self._weighted = data.weights is not None
        self._data: Any = tf.nest.map_structure(
            tf.convert_to_tensor, (data.x, data.y, data.weights) if self._weighted else (data.x, data.y)
        )
        self._measured = _has_metrics(model)
        self._run = self._trace_training()
        self.held_out = 0
        if x_test is not None:
            test = _arrays(training_data(x_test, y_test, what="held-out data"))
            self.held_out = test.samples
            self._test: Any = tf.nest.map_structure(tf.convert_to_tensor, (test.x, test.y))
            self._judge = _judge(model, y_test)
            self._measure = self._trace_evaluation()
        self._batches_a_chunk = 1

    @property
    def layout(self) -> Layout:
        """The model's tensors."""
        return self._resident.layout

    @property
    def model(self) -> Any:
        """The Keras model; its weights are those of the last call."""
        return self._model

    def initial(self, out: Flat) -> None:
        """Write the weights that the model had when it was handed over."""
        self._resident.initial(out)

    def load(self, weights: Flat) -> None:
        """Give the model these weights."""
        self._resident.variables.load(weights)

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:
        """Train `local_epochs` epochs from `base`; see `FlatTrainer.train`."""
        batches_an_epoch = -(-self.samples // self._batch_size)
        self._resident.begin(base, info, max(info.number - 1, 0) * self._local_epochs * batches_an_epoch)
        draw = generator(info, "order")
        metrics: dict[str, float] = {}
        processed = 0
        for _ in range(self._local_epochs):
            order = draw.permutation(self.samples) if self._shuffle else np.arange(self.samples)
            if self._measured:
                self._model.reset_metrics()
            loss, samples = self._epoch(self._tf.constant(order.astype(np.int32)), batches_an_epoch, stop)
            processed += samples
            if samples:
                metrics = self._metrics() | {"loss": loss / samples}
            if samples < self.samples:
                break
        self._resident.end(out)
        return TrainOutcome(processed, metrics)

    def _metrics(self) -> dict[str, float]:
        if not self._measured:
            return {}
        return {name: float(value) for name, value in self._model.get_metrics_result().items()}

    def _epoch(self, order: Any, batches: int, stop: Callable[[], bool]) -> tuple[float, int]:
        loss_sum, first = 0.0, 0
        while first < batches and not stop():
            last = min(first + self._batches_a_chunk, batches)
            began = time.monotonic()
            loss_sum += float(self._run(order, self._tf.constant(first), self._tf.constant(last)))
            took = time.monotonic() - began
            # At most doubled: the first run of all includes TensorFlow's own warming up and says little.
            fitting = int((last - first) * CHUNK_S / max(took, 1e-6))
            self._batches_a_chunk = max(1, min(fitting, 2 * self._batches_a_chunk))
            first = last
        return loss_sum, min(first * self._batch_size, self.samples)

    def evaluate(self, weights: Flat, share: tuple[int, int]) -> Evaluation | None:
        """Evaluate a contiguous share of the held-out data; see `FlatTrainer.evaluate`."""
        index, count = share
        if not 0 <= index < count:
            raise DataError(f"Share {index} of {count} does not exist; shares are counted from 0 to {count - 1}.")
        if not self.held_out:
            return None
        first, last = self.held_out * index // count, self.held_out * (index + 1) // count
        if first == last:
            return Evaluation(0, 0.0, 0 if self._judge else None)
        self._resident.variables.load(weights)
        loss_sum, correct = self._measure(self._tf.constant(first), self._tf.constant(last))
        return Evaluation(last - first, float(loss_sum), int(correct) if self._judge else None)

    def _batch(self, chosen: Any) -> tuple[Any, Any, Any]:
        def take(array: Any) -> Any:
            return self._tf.gather(array, chosen)

        parts = self._tf.nest.map_structure(take, self._data)
        return parts if self._weighted else (*parts, None)

    def _trace_training(self) -> Any:
        tf, model, size, samples, measured = self._tf, self._model, self._batch_size, self.samples, self._measured
        index = tf.TensorSpec((), tf.int32)

        @tf.function(input_signature=[tf.TensorSpec((samples,), tf.int32), index, index], autograph=False)
        def run(order: Any, first: Any, last: Any) -> Any:
            def batch(number: Any, loss_sum: Any) -> tuple[Any, Any]:
                chosen = order[number * size : tf.minimum((number + 1) * size, samples)]
                batch_x, batch_y, weights = self._batch(chosen)
                with tf.GradientTape() as tape:
                    predicted = model(batch_x, training=True)
                    loss = model.compute_loss(x=batch_x, y=batch_y, y_pred=predicted, sample_weight=weights, training=True)
                    scaled = model.optimizer.scale_loss(loss)
                gradients = tape.gradient(scaled, model.trainable_weights)
                model.optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
                if measured:
                    model.compute_metrics(batch_x, batch_y, predicted, sample_weight=weights)
                return number + 1, loss_sum + tf.cast(loss, tf.float32) * tf.cast(tf.size(chosen), tf.float32)

            def left(number: Any, _: Any) -> Any:
                return number < last

            return tf.while_loop(left, batch, (first, tf.constant(0.0)), parallel_iterations=1)[1]

        # Traced and instantiated now, so that round 1 is not the one that waits; no batch is run. As in a round: with its schedule.
        self._resident.optimizer.begin(0)
        traced = run.get_concrete_function()
        traced(tf.zeros(samples, tf.int32), tf.constant(0), tf.constant(0))
        self._resident.optimizer.end()
        return traced

    def _trace_evaluation(self) -> Any:
        tf, model, judge = self._tf, self._model, self._judge
        index = tf.TensorSpec((), tf.int32)

        def between(begin: Any, end: Any) -> Callable[[Any], Any]:
            def take(array: Any) -> Any:
                return array[begin:end]

            return take

        @tf.function(input_signature=[index, index], autograph=False)
        def measure(first: Any, last: Any) -> Any:
            def batch(begin: Any, loss_sum: Any, correct: Any) -> tuple[Any, Any, Any]:
                end = tf.minimum(begin + EVALUATION_BATCH, last)
                batch_x, batch_y = tf.nest.map_structure(between(begin, end), self._test)
                predicted = model(batch_x, training=False)
                loss = tf.cast(model.compute_loss(x=batch_x, y=batch_y, y_pred=predicted, training=False), tf.float32)
                if judge is not None:
                    correct = correct + tf.reduce_sum(tf.cast(judge(tf, batch_y, predicted), tf.int32))
                return end, loss_sum + loss * tf.cast(end - begin, tf.float32), correct

            def left(begin: Any, *_: Any) -> Any:
                return begin < last

            return tf.while_loop(left, batch, (first, tf.constant(0.0), tf.constant(0)), parallel_iterations=1)[1:]

        traced = measure.get_concrete_function()
        traced(tf.constant(0), tf.constant(0))
        return traced


def _arrays(data: TrainingData) -> ArrayData:
    if isinstance(data, SourceData) or data.y is None:
        raise DataError("The fast loop trains on arrays x and y; for anything else use FitTrainer.")
    return data


def _has_metrics(model: Any) -> bool:
    """Whether there is anything to measure but the loss, which the loop sums itself."""
    kind = cast("Any", type(model))
    return kind.compute_metrics is not import_keras().Model.compute_metrics or len(model.metrics) > 1


def _judge(model: Any, y: Any) -> Callable[[Any, Any, Any], Any] | None:
    """How to tell from targets and predictions which samples are right; None where the loss is no classifier's."""
    outputs: list[Any] = getattr(model, "outputs", None) or []
    if len(outputs) > 1 or isinstance(y, (dict, tuple, list)):
        return None
    loss = model.loss
    name = (loss if isinstance(loss, str) else getattr(loss, "name", None) or getattr(loss, "__name__", "")).lower()
    if name in ("sparse_categorical_crossentropy", "sparsecategoricalcrossentropy"):
        return lambda tf, y, p: tf.equal(tf.cast(tf.reshape(y, (-1,)), tf.int64), tf.argmax(tf.reshape(p, (-1, p.shape[-1])), -1))
    if name in ("categorical_crossentropy", "categoricalcrossentropy"):
        return lambda tf, y, p: tf.equal(tf.argmax(y, -1), tf.argmax(p, -1))
    if name in ("binary_crossentropy", "binarycrossentropy"):
        threshold = 0.0 if getattr(loss, "from_logits", False) or _from_logits(loss) else 0.5
        return lambda tf, y, p: tf.equal(tf.reshape(y, (-1,)) > 0.5, tf.reshape(p, (-1,)) > threshold)
    return None


def _from_logits(loss: Any) -> bool:
    return bool(getattr(loss, "_fn_kwargs", {}).get("from_logits", False))

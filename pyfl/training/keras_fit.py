"""Training by Keras's own `fit`: for models, data and callbacks that the fast loop cannot stand in for.

A round is still a function of its base and number: batch order and random states are drawn from (seed, round, attempt, peer). What a
`tf.data` pipeline shuffles, or optimizers beside `model.optimizer` remember, is the user's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pyfl.errors import DataError, TrainingError
from pyfl.training.keras_data import DATASET, ArrayData, TrainingData, leaves
from pyfl.training.keras_model import ResidentModel
from pyfl.training.label_counts import label_counts
from pyfl.training.seeds import generator
from pyfl.training.tensorflow_runtime import import_keras, import_tensorflow
from pyfl.training.trainer import Evaluation, Flat, RoundInfo, TrainOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyfl.training.keras_optimizer import OptimizerState
    from pyfl.training.layout import Layout

__all__ = ["FitTrainer"]


class FitTrainer:
    """Trains a compiled Keras model by `model.fit`, one call a local epoch.

    Of `callbacks` only the batch hooks are called here: their epochs are the caller's. A callback that sets `model.stop_training` ends the
    round's training; `stopped_by_user` then says so.
    """

    def __init__(
        self,
        model: Any,
        data: TrainingData,
        *,
        local_epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        steps_per_epoch: int | None = None,
        callbacks: Sequence[Any] = (),
        optimizer_state: OptimizerState = "reset",
    ) -> None:
        """`class_weight` for data that is no array; in arrays it is in the weights already."""
        if local_epochs < 1 or batch_size < 1:
            raise TrainingError(f"local_epochs is {local_epochs} and batch_size {batch_size}; both must be at least 1.")
        if isinstance(data, ArrayData) and not data.samples:
            raise DataError("This peer has no training samples. Give it a share of the data, or fewer peers.")
        self._resident = ResidentModel(model, data.one_sample, optimizer_state)
        self._model = model
        self._local_epochs, self._shuffle = local_epochs, shuffle
        self._arguments: dict[str, Any] = {"class_weight": class_weight, "steps_per_epoch": steps_per_epoch}
        if isinstance(data, ArrayData):
            self._batches: _Batches = _ArrayBatches(data, batch_size)
        else:
            self._batches = _DatasetBatches(data.source) if data.kind == DATASET else _PyDatasetBatches(data.source)
        self.label_counts = label_counts(data.y) if isinstance(data, ArrayData) else {}
        """Samples of each label; empty where that is not known."""
        self._callbacks = list(callbacks)
        self._steps_an_epoch = steps_per_epoch or self._batches.count
        self.stopped_by_user = False

    @property
    def layout(self) -> Layout:
        """The model's tensors."""
        return self._resident.layout

    @property
    def model(self) -> Any:
        """The Keras model."""
        return self._model

    def initial(self, out: Flat) -> None:
        """Write the weights that the model had when it was handed over."""
        self._resident.initial(out)

    def load(self, weights: Flat) -> None:
        """Give the model these weights."""
        self._resident.variables.load(weights)

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:
        """Train `local_epochs` epochs from `base`; see `FlatTrainer.train`."""
        rounds_before = max(info.number - 1, 0)
        self._resident.begin(base, info, rounds_before * self._local_epochs * (self._steps_an_epoch or 0))
        draw = generator(info, "order")
        watch = _watch()(stop, self._callbacks)
        metrics: dict[str, float] = {}
        samples, steps = 0, 0
        for _ in range(self._local_epochs):
            if stop() or watch.stopped:
                break
            watch.batches = 0
            source = self._batches.epoch(draw, shuffle=self._shuffle)
            history = self._model.fit(source, epochs=1, verbose=0, shuffle=False, callbacks=[watch], **self._arguments).history
            samples += self._batches.samples(watch.batches)
            steps += watch.batches
            metrics = {name: float(values[-1]) for name, values in history.items()} or metrics
            watch.stopped = watch.stopped or bool(self._model.stop_training)
        self.stopped_by_user = watch.stopped and not watch.out_of_time
        if self._steps_an_epoch is None:  # now it is known how long such a pipeline is
            self._steps_an_epoch = max(1, steps // self._local_epochs)
        self._resident.end(out)
        return TrainOutcome(samples, metrics)

    def evaluate(self, weights: Flat, share: tuple[int, int]) -> Evaluation | None:  # noqa: ARG002
        """Nothing is held out here."""
        return None


class _Batches(ABC):
    """Where one epoch's batches come from, and how many samples the first of them had."""

    count: int | None
    """Batches an epoch; None until one was drawn."""

    @abstractmethod
    def epoch(self, draw: np.random.Generator, *, shuffle: bool) -> Any:
        """What to give to `fit` for the next epoch."""

    @abstractmethod
    def samples(self, batches: int) -> int:
        """Samples in the first `batches` of the last epoch."""


class _ArrayBatches(_Batches):
    def __init__(self, data: ArrayData, batch_size: int) -> None:
        tf = import_tensorflow()
        self._samples, self._size = data.samples, batch_size
        self.count = -(-data.samples // batch_size)
        parts = (data.x,) if data.y is None else (data.x, data.y)
        parts = parts if data.weights is None else (data.x, data.y, data.weights)

        def tensor(part: Any) -> Any:
            return None if part is None else tf.convert_to_tensor(part)

        self._parts = tf.nest.map_structure(tensor, parts)

    def epoch(self, draw: np.random.Generator, *, shuffle: bool) -> Any:
        tf, parts = import_tensorflow(), self._parts
        order = draw.permutation(self._samples) if shuffle else np.arange(self._samples)

        def batch(chosen: Any) -> Any:
            def take(part: Any) -> Any:
                return None if part is None else tf.gather(part, chosen)

            return tf.nest.map_structure(take, parts)

        return tf.data.Dataset.from_tensor_slices(order).batch(self._size).map(batch).prefetch(2)

    def samples(self, batches: int) -> int:
        return min(batches * self._size, self._samples)


class _PyDatasetBatches(_Batches):
    def __init__(self, source: Any) -> None:
        self._source = source
        self.count = source.num_batches
        self._ordered: Any = None

    def epoch(self, draw: np.random.Generator, *, shuffle: bool) -> Any:
        # One without an end keeps its order; fit is told steps_per_epoch.
        order = draw.permutation(self.count) if shuffle and self.count is not None else None
        self._ordered = _ordered()(self._source, order)
        return self._ordered

    def samples(self, batches: int) -> int:
        return self._ordered.samples(batches)


class _DatasetBatches(_Batches):
    def __init__(self, source: Any) -> None:
        tf = import_tensorflow()
        known = int(source.cardinality())
        self.count = known if known > 0 else None
        # Counted as they pass: a pass over the whole pipeline only to count it could cost an epoch.
        with tf.device("CPU:0"):
            self._seen = tf.Variable(0, dtype=tf.int64, trainable=False, name="samples_seen")
            self._batches_seen = tf.Variable(0, dtype=tf.int64, trainable=False, name="batches_seen")

        def count(*batch: Any) -> Any:
            with tf.control_dependencies([
                self._seen.assign_add(tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0]), self._batches_seen.assign_add(1)
            ]):  # fmt: skip
                passed = tf.nest.map_structure(tf.identity, batch)
            return passed if len(passed) > 1 else passed[0]

        self._source = source.map(count)

    def epoch(self, draw: np.random.Generator, *, shuffle: bool) -> Any:  # noqa: ARG002 - the pipeline shuffles itself
        self._seen.assign(0)
        self._batches_seen.assign(0)
        return self._source

    def samples(self, batches: int) -> int:
        seen, drawn = int(self._seen), int(self._batches_seen)
        # Stopped early, batches were drawn ahead that were not trained on: they are taken as of the mean size.
        return seen if batches >= drawn else round(seen * batches / drawn)


@cache
def _watch() -> type[Any]:
    """A callback that looks at the clock after each batch and passes on the user's batch hooks. A class of Keras, so made late."""

    class Watch(import_keras().callbacks.Callback):
        def __init__(self, stop: Callable[[], bool], callbacks: list[Any]) -> None:
            super().__init__()  # pyright: ignore[reportUnknownMemberType] - Keras has no types
            self._stop, self._callbacks = stop, callbacks
            self.batches = 0
            self.stopped = self.out_of_time = False

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            for callback in self._callbacks:
                callback.on_train_batch_begin(batch, logs)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.batches = batch + 1
            for callback in self._callbacks:
                callback.on_train_batch_end(batch, logs)
            if self._stop():
                self.out_of_time = self.stopped = True
                self.model.stop_training = True

    return Watch


@cache
def _ordered() -> type[Any]:
    """A PyDataset that gives another's batches in an order of ours, and remembers how many samples each had."""

    class Ordered(import_keras().utils.PyDataset):
        def __init__(self, source: Any, order: Any) -> None:
            super().__init__(source.workers, source.use_multiprocessing, source.max_queue_size)  # pyright: ignore[reportUnknownMemberType]
            self._source, self._order = source, order
            self._sizes: dict[int, int] = {}

        @property
        def num_batches(self) -> int | None:
            return self._source.num_batches

        def __len__(self) -> int:
            return self._source.num_batches

        def __getitem__(self, index: int) -> Any:
            batch = self._source[index if self._order is None else int(self._order[index])]
            self._sizes[index] = len(leaves(batch)[0])
            return batch

        def on_epoch_begin(self) -> None:
            self._source.on_epoch_begin()

        def on_epoch_end(self) -> None:
            self._source.on_epoch_end()

        def samples(self, batches: int) -> int:
            missing = [index for index in range(batches) if index not in self._sizes]  # loaded in another process
            if missing:
                self._sizes |= dict.fromkeys(missing, len(leaves(self._source[0])[0]))
            return sum(self._sizes[index] for index in range(batches))

    return Ordered

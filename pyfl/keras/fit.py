"""`peer.fit(model, x, y, ...)`: Keras's arguments, the swarm's rounds, Keras's History."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

from pyfl.aggregation import Strategy
from pyfl.errors import DataError
from pyfl.keras.peers import Flat, ResultLike, RoundLike, RunningPeer
from pyfl.rounds.early_stopping import EarlyStopping
from pyfl.tiers import Tiers
from pyfl.training.keras_choice import choose_trainer
from pyfl.training.keras_data import ArrayData, TrainingData, split, training_data
from pyfl.training.keras_fit import FitTrainer
from pyfl.training.keras_optimizer import OptimizerState
from pyfl.training.keras_trainer import KerasTrainer
from pyfl.training.layout import Layout
from pyfl.training.tensorflow_runtime import import_keras
from pyfl.training.trainer import Evaluation, RoundInfo, TrainOutcome

__all__ = ["fit"]

log = logging.getLogger(__name__)


def fit(
    peer: RunningPeer,
    model: Any,
    x: Any = None,
    y: Any = None,
    *,
    rounds: int | None = None,
    local_epochs: int = 1,
    batch_size: int | None = None,
    verbose: Literal["auto", 0, 1, 2] = "auto",
    callbacks: Sequence[Any] | None = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: bool = True,
    class_weight: Mapping[int, float] | None = None,
    sample_weight: Any = None,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    strategy: Strategy | str | None = None,
    tiers: Tiers | str | None = None,
    min_peers: int | None = None,
    min_contributors: int | None = None,
    seed: int | None = None,
    early_stopping: EarlyStopping | str | None = None,
    residuals: bool | None = None,
    restore_best_weights: bool = False,
    optimizer_state: OptimizerState = "reset",
) -> Any:
    """Train a compiled Keras model with the swarm, in this thread, until the run's last round; returns its `History`.

    A round is what an epoch is to `fit`: callbacks see one epoch a round (of `local_epochs` passes over the data), whose end comes after
    the commit, with the committed weights in the model. History has `loss` and the model's metrics (this peer's training; NaN in a round
    that it did not train in), `val_...` (the committed model on this peer's validation data), `round`, `contributors` (how many), and
    `digest`; where held-out data was evaluated by the swarm, `swarm_loss`. `history.training_loop` says which loop trained, and why.

    `early_stopping` ends the run when the swarm's metric no longer improves (`pyfl.EarlyStopping`, or its text); `history.best_round` is
    the best round by it. With `restore_best_weights` the model ends with that round's weights instead of the last's; a peer that came
    after it, or fetched it later, has the best of those that it saw, and a warning says so.

    A callback that sets `model.stop_training` has this peer leave the swarm after the round. The model ends with the last committed
    weights. `optimizer_state` "keep" carries the optimizer's slots over the rounds. Raises `TrainingError` (not compiled), `DataError`,
    `NoTrainableWeights`, `ModelMismatch`, `RefusedBySwarm`, `RunFailed`, and what the user's own code raises.
    """
    data, validation = _data(x, y, sample_weight, class_weight, validation_split, validation_data)
    size = batch_size or 32
    hooks = list(callbacks or [])
    trainer, reason = choose_trainer(
        model, data, local_epochs=local_epochs, batch_size=size, shuffle=shuffle, class_weight=class_weight,
        steps_per_epoch=steps_per_epoch, callbacks=hooks, optimizer_state=optimizer_state,
    )  # fmt: skip
    judge = _Judge(model, validation, validation_batch_size or size, validation_steps) if validation is not None else None
    followed = _Followed(trainer, hooks, judge, rounds, verbose not in (0, "0"))
    run = peer.begin(
        followed, rounds=rounds, strategy=strategy, tiers=tiers, min_peers=min_peers, min_contributors=min_contributors, seed=seed,
        early_stopping=early_stopping, residuals=residuals, keep_best=restore_best_weights, on_round=followed.committed,
    )  # fmt: skip
    run.work()
    result = run.result()
    followed.load(_wanted(result) if restore_best_weights else result.flat)
    history = followed.finish()
    history.best_round = result.best.round if result.best else None
    history.training_loop = f"model.fit, since {reason}" if reason else "fast"
    return history


def _wanted(result: ResultLike) -> Flat:
    """The best weights that there are here, with a warning where the swarm had better ones."""
    best, kept = result.best, result.kept
    if kept is None:
        log.warning("No round that this peer saw has a metric of the swarm, so the model has the last round's weights and not the best's.")
        return result.flat
    if best is not None and best.round != kept.round:
        log.warning(
            "The swarm's best is %s, which this peer did not see as it was committed; the model has the weights of round %d, the best that "
            "it saw. Those of round %d are in the checkpoints of peers that were there.", best, kept.round, best.round,
        )  # fmt: skip
    return kept.flat


def _data(
    x: Any, y: Any, sample_weight: Any, class_weight: Mapping[int, float] | None, validation_split: float, validation_data: Any
) -> tuple[TrainingData, TrainingData | None]:
    data = training_data(x, y, sample_weight, class_weight)
    if validation_data is None:
        return split(data, validation_split)
    if not isinstance(validation_data, tuple):
        return data, training_data(validation_data, what="validation data")
    if len(validation_data) not in (2, 3):  # pyright: ignore[reportUnknownArgumentType]
        raise DataError("validation_data is a tuple of another length; expected (x, y) or (x, y, sample_weight).")
    parts = cast("tuple[Any, ...]", validation_data)
    return data, training_data(parts[0], parts[1], parts[2] if len(parts) > 2 else None, what="validation data")


class _Judge:
    """Evaluates whatever weights the model has on this peer's validation data."""

    def __init__(self, model: Any, data: TrainingData, batch_size: int, steps: int | None) -> None:
        self._model = model
        self._arguments: dict[str, Any] = {"verbose": 0, "return_dict": True, "steps": steps}
        if isinstance(data, ArrayData):
            self._arguments |= {"x": data.x, "y": data.y, "sample_weight": data.weights, "batch_size": batch_size}
            self._samples = data.samples
        else:
            self._arguments["x"] = data.source
            self._samples = 0

    def metrics(self) -> dict[str, float]:
        """Loss and metrics by their names."""
        return {name: float(value) for name, value in self._model.evaluate(**self._arguments).items()}

    def evaluation(self, metrics: Mapping[str, float]) -> Evaluation | None:
        """The same as sums, for the swarm; None where the number of samples is not known."""
        if not self._samples:
            return None
        accuracy = next((metrics[name] for name in ACCURACIES if name in metrics), None)
        correct = round(accuracy * self._samples) if accuracy is not None and math.isfinite(accuracy) else None
        return Evaluation(self._samples, metrics["loss"] * self._samples, correct)


ACCURACIES = ("accuracy", "acc", "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy")


class _Followed:
    """The trainer with the user's epoch hooks around each round."""

    def __init__(
        self, trainer: KerasTrainer | FitTrainer, callbacks: list[Any], judge: _Judge | None, rounds: int | None, tell: bool
    ) -> None:
        keras = import_keras()
        self._trainer, self._judge, self._tell = trainer, judge, tell
        self._model = trainer.model
        self._rounds = rounds
        self._history = keras.callbacks.History()  # of rounds: a fit inside one has its own
        self._hooks = keras.callbacks.CallbackList(
            [*callbacks, self._history], add_history=False, add_progbar=False, model=self._model, epochs=rounds or 1, verbose=0, steps=None
        )
        self._digests: list[str] = []
        self._trained: dict[int, Mapping[str, float]] = {}
        self._begun = 0
        self._names: list[str] = ["loss"]
        self._validated: dict[str, float] | None = None
        self._last: dict[str, float] = {}

    # ---- a FlatTrainer

    @property
    def layout(self) -> Layout:
        return self._trainer.layout

    def initial(self, out: Flat) -> None:
        self._trainer.initial(out)

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:
        self._rounds = info.rounds
        self._begin(info.number)
        outcome = self._trainer.train(base, out, info, stop)
        if isinstance(self._trainer, FitTrainer) and self._trainer.stopped_by_user:
            self._model.stop_training = True
        self._trained[info.number] = outcome.metrics
        self._names = [*outcome.metrics] or self._names
        self._validated = None
        return outcome

    def evaluate(self, weights: Flat, share: tuple[int, int]) -> Evaluation | None:  # noqa: ARG002 - the data is this peer's alone
        if self._judge is None:
            return None
        stopping = self._model.stop_training
        self.load(weights)
        self._validated = self._judge.metrics()
        self._model.stop_training = stopping
        return self._judge.evaluation(self._validated)

    # ---- the rounds

    def load(self, weights: Flat) -> None:
        """Give the model these weights."""
        self._trainer.load(weights)

    def _begin(self, number: int) -> None:
        if not self._begun:
            self._model.stop_training = False
            self._hooks.on_train_begin()
        if number > self._begun:
            self._begun = number
            self._hooks.on_epoch_begin(number - 1)

    def committed(self, committed: RoundLike, weights: Flat) -> bool:
        """A round is committed: the model gets its weights, and the callbacks their epoch's end. True: this peer has had enough."""
        number = committed.number
        self._begin(number)
        self.load(weights)
        trained = self._trained.pop(number, {})
        logs = {name: trained.get(name, float("nan")) for name in self._names}
        if self._judge is not None:
            validated = self._validated if self._validated is not None else self._judge.metrics()
            logs |= {f"val_{name}": value for name, value in validated.items()}
        self._validated = None
        logs |= {"round": number, "contributors": len(committed.contributors)}
        if committed.loss is not None:
            logs["swarm_loss"] = committed.loss
        if committed.accuracy is not None:
            logs["swarm_accuracy"] = committed.accuracy
        self._digests.append(committed.digest)
        self._last = logs
        self._hooks.on_epoch_end(number - 1, logs)
        if self._tell:
            self._print(number, logs)
        return bool(self._model.stop_training)

    def _print(self, number: int, logs: Mapping[str, float]) -> None:
        told = " - ".join(f"{name}: {value:.4g}" for name, value in logs.items() if name != "round")
        print(f"Round {number}/{self._rounds} - {told}", flush=True)  # as fit does: this is what verbose asks for

    def finish(self) -> Any:
        """The run is over: the History."""
        if self._begun:
            self._hooks.on_train_end(self._last)
        history = self._history
        self._model.history = history
        for name in ("round", "contributors"):  # Keras made floats of them
            history.history[name] = [int(value) for value in history.history.get(name, [])]
        history.history["digest"] = self._digests
        return history

"""Which loop trains a Keras model: the fast one where nothing of the user's needs `fit`, else `fit`; and why."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from pyfl.training.keras_data import ArrayData, TrainingData
from pyfl.training.keras_fit import FitTrainer
from pyfl.training.keras_trainer import KerasTrainer
from pyfl.training.tensorflow_runtime import import_keras

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyfl.training.keras_optimizer import OptimizerState

__all__ = ["choose_trainer", "why_fit"]

log = logging.getLogger(__name__)

# What a subclass may change of how Keras trains; the fast loop calls what is not here (compute_loss, compute_metrics, call).
TRAINING_METHODS = ("fit", "train_step", "make_train_function", "_train_step", "reset_metrics", "get_metrics_result")
BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")


def why_fit(model: Any, data: TrainingData, callbacks: Sequence[Any] = (), steps_per_epoch: int | None = None) -> str:
    """What of the user's needs `fit`; empty when the fast loop does."""
    keras = import_keras()
    kind = cast("Any", type(model))
    if not isinstance(data, ArrayData):
        return f"the data is a {data.kind}"
    if data.y is None:
        return "there are no targets y"
    if steps_per_epoch:
        return "steps_per_epoch was given"
    for name in TRAINING_METHODS:
        base = getattr(keras.Model, name, None)
        if base is not None and getattr(kind, name, None) not in (base, getattr(keras.Sequential, name)):
            return f"{kind.__name__} has a {name} of its own"
    for callback in callbacks:
        hooks = cast("Any", type(callback))
        for name in BATCH_HOOKS:
            if name in vars(callback) or getattr(hooks, name) is not getattr(keras.callbacks.Callback, name):
                return f"callback {hooks.__name__} has {name}"
    if model.run_eagerly:
        return "the model runs eagerly"
    if model.distribute_strategy.num_replicas_in_sync > 1:
        return "the model is distributed over several devices"
    if getattr(model, "jit_compile", False) is True:
        return "the model was compiled with jit_compile"
    return ""


def choose_trainer(
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
) -> tuple[KerasTrainer | FitTrainer, str]:
    """(the trainer, why it is `fit`; empty: it is the fast loop). Logs one line that says so.

    Raises `TrainingError`, `DataError`, `NoTrainableWeights` and `ModelMismatch`.
    """
    reason = why_fit(model, data, callbacks, steps_per_epoch)
    if not reason and isinstance(data, ArrayData):
        log.info("Model %s trains in the fast loop.", model.name)
        fast = KerasTrainer(
            model, data.x, data.y, sample_weight=data.weights, local_epochs=local_epochs, batch_size=batch_size, shuffle=shuffle,
            optimizer_state=optimizer_state,
        )  # fmt: skip
        return fast, ""
    log.info("Model %s trains by model.fit, since %s.", model.name, reason)
    slow = FitTrainer(
        model, data, local_epochs=local_epochs, batch_size=batch_size, shuffle=shuffle, steps_per_epoch=steps_per_epoch,
        class_weight=None if isinstance(data, ArrayData) else class_weight, callbacks=callbacks, optimizer_state=optimizer_state,
    )  # fmt: skip
    return slow, reason

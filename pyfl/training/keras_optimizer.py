"""A Keras optimizer made new at the start of each round: its state does not outlive one (protocol.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyfl.training.tensorflow_runtime import import_keras, import_tensorflow

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OptimizerReset"]


class OptimizerReset:
    """Builds the optimizer and puts its slots back to what they were then.

    The step counter goes back to 0 too, since bias corrections such as Adam's divide by what the slots have seen: with
    the counter kept and the slots at zero, each round would begin with steps three times too long. Only with a
    learning-rate schedule is it set to the run's step, so that the schedule spans the run, for late joiners too.
    """

    def __init__(self, optimizer: Any, trainable: list[Any]) -> None:
        keras = import_keras()
        if not optimizer.built:
            optimizer.build(trainable)
        self._optimizer = optimizer
        # As Keras itself does it; the public property evaluates the schedule.
        self._scheduled = isinstance(optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule)
        rate = None if self._scheduled else optimizer._learning_rate
        self._slots: list[tuple[Any, float | NDArray[Any]]] = [
            (variable, _compact(np.asarray(variable)))
            for variable in optimizer.variables
            if variable is not optimizer.iterations and variable is not rate
        ]

    def reset(self, step: int) -> None:
        """Begin a round whose first batch is the run's batch number `step`, from 0."""
        tf = import_tensorflow()
        for variable, first in self._slots:
            variable.assign(tf.fill(variable.shape, tf.cast(first, variable.dtype)) if np.isscalar(first) else first)
        self._optimizer.iterations.assign(step if self._scheduled else 0)


def _compact(values: NDArray[Any]) -> float | NDArray[Any]:
    """One number for a constant tensor, as slots begin: a model's worth of zeros need not be kept."""
    if values.size and np.all(values == values.flat[0]):
        return values.flat[0].item()
    return values.copy()

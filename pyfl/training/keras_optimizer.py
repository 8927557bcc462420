"""A Keras optimizer over the rounds of a run: what its state is when one begins, and how a learning-rate schedule spans them.

docs/decisions/optimizer-state.md has the reasons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from pyfl.errors import ConfigError
from pyfl.training.tensorflow_runtime import import_keras, import_tensorflow

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OptimizerState", "RoundOptimizer"]

OptimizerState = Literal["reset", "keep"]


class RoundOptimizer:
    """Prepares the optimizer of a built model for each round.

    `reset`, the default: slots go back to what they are in a new optimizer, and its step counter to 0 with them, since bias corrections
    such as Adam's divide by what the slots have seen. `keep`: slots and counter go on over the rounds.

    A learning-rate schedule spans the run in both: while a round trains, it is moved by the steps that the counter lacks, so that
    late joiners are where the others are. Between rounds `reset` leaves the counter at the run's step, for whoever looks or saves.
    """

    def __init__(self, optimizer: Any, trainable: list[Any], state: OptimizerState = "reset") -> None:
        if state not in ("reset", "keep"):
            raise ConfigError(f"optimizer_state is {state!r}; expected 'reset' or 'keep'.")
        keras, tf = import_keras(), import_tensorflow()
        if not optimizer.built:
            optimizer.build(trainable)
        # The optimizer that steps: LossScaleOptimizer wraps it, and has a scale of its own beside it.
        self._target = getattr(optimizer, "inner_optimizer", optimizer)
        self._trainable = trainable
        self._keep = state == "keep"
        # As Keras itself does it; the public property evaluates the schedule.
        rate = self._target._learning_rate
        self._schedule = rate if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else None
        self._offset = tf.Variable(0, dtype=tf.int64, trainable=False, name="rounds_before")
        self._moved = _moved(self._schedule, self._offset) if self._schedule is not None else None
        self._slots: list[tuple[Any, float | NDArray[Any]]] = []
        if not self._keep:
            self._slots = self._first_values(optimizer, trainable, None if self._schedule else rate)

    def _first_values(self, optimizer: Any, trainable: list[Any], rate: Any) -> list[tuple[Any, float | NDArray[Any]]]:
        fresh: Any = optimizer
        if int(self._target.iterations) > 0:  # it has trained before: its slots are no beginning
            kind = cast("Any", type(optimizer))
            fresh = kind.from_config(optimizer.get_config())
            fresh.build(trainable)
        outer = None if optimizer is self._target else optimizer._learning_rate
        return [
            (variable, _compact(np.asarray(first)))
            for variable, first in zip(optimizer.variables, fresh.variables, strict=True)
            if variable is not self._target.iterations and variable is not rate and variable is not outer
        ]

    @property
    def scheduled(self) -> bool:
        """Whether the learning rate follows a schedule."""
        return self._schedule is not None

    def begin(self, step: int) -> None:
        """Begin a round whose first batch is the run's batch number `step`, from 0. The base weights must be loaded."""
        tf = import_tensorflow()
        for variable, first in self._slots:
            variable.assign(tf.fill(variable.shape, tf.cast(first, variable.dtype)) if np.isscalar(first) else first)
        if not self._keep:
            self._target.iterations.assign(0)
        if self._moved is not None:
            self._offset.assign(step - int(self._target.iterations))
            self._target._learning_rate = self._moved
        if self._target.use_ema and not self._keep:
            for weight, average in zip(self._trainable, self._target._model_variables_moving_average, strict=True):
                average.assign(weight)

    def end(self) -> None:
        """End a round: the user's schedule is back in its place."""
        if self._moved is None:
            return
        self._target._learning_rate = self._schedule
        if not self._keep:
            self._target.iterations.assign(int(self._target.iterations) + int(self._offset))


def _moved(schedule: Any, offset: Any) -> Any:
    """The schedule `offset` steps later. Saved in mid-round, it is written as the user's own."""
    kind = cast("Any", type(schedule))

    def call(self: Any, step: Any) -> Any:  # noqa: ARG001 - a method
        tf = import_tensorflow()
        return schedule(step + tf.cast(offset, step.dtype))

    moved = type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__, "__qualname__": kind.__qualname__})
    twin: Any = object.__new__(moved)
    twin.__dict__.update(schedule.__dict__)
    return twin


def _compact(values: NDArray[Any]) -> float | NDArray[Any]:
    """One number for a constant tensor, as slots begin: a model's worth of zeros need not be kept."""
    if values.size and np.all(values == values.flat[0]):
        return values.flat[0].item()
    return values.copy()

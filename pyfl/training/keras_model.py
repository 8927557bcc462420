"""A compiled Keras model that lives through the rounds: its flat vector, its optimizer and its layers' random states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyfl.errors import NoTrainableWeights, TrainingError
from pyfl.training.keras_optimizer import OptimizerState, RoundOptimizer
from pyfl.training.keras_variables import FlatVariables
from pyfl.training.seeds import generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyfl.training.layout import Layout
    from pyfl.training.trainer import Flat, RoundInfo

__all__ = ["ResidentModel"]


class ResidentModel:
    """One Keras model between the swarm and a training loop.

    `one_sample` gives an input to build the model with, if it is not built yet. Raises `TrainingError` for a model without a loss,
    `NoTrainableWeights` and `ModelMismatch`.
    """

    def __init__(self, model: Any, one_sample: Callable[[], Any], optimizer_state: OptimizerState = "reset") -> None:
        if not getattr(model, "compiled", False):
            raise TrainingError(f"Model {model.name!r} is not compiled, so it has no loss. Call model.compile(optimizer=..., loss=...).")
        if not model.built:
            _build(model, one_sample)
        self.keras = model
        self.variables = FlatVariables(model)
        self.optimizer = RoundOptimizer(model.optimizer, list(model.trainable_variables), optimizer_state)
        self._layer_seeds = [v for v in model.non_trainable_variables if str(v.path).endswith("seed_generator_state")]
        self._initial = np.empty(self.layout.size, np.float32)
        self.variables.store(self._initial)

    @property
    def layout(self) -> Layout:
        """The model's tensors."""
        return self.variables.layout

    def initial(self, out: Flat) -> None:
        """Write the weights that the model had when it was handed over."""
        np.copyto(out, self._initial)

    def begin(self, base: Flat, info: RoundInfo, step: int) -> None:
        """Everything that training depends on but the data, as a function of base and round. `step`: the run's first batch in it."""
        self.variables.load(base)
        self.optimizer.begin(step)
        draw = generator(info, "layers")
        for state in self._layer_seeds:
            state.assign(draw.integers(0, 2**32, size=state.shape, dtype=np.uint32))

    def end(self, out: Flat) -> None:
        """Write the weights that training led to."""
        self.keras.optimizer.finalize_variable_values(self.keras.trainable_weights)  # use_ema: the averages
        self.optimizer.end()
        self.variables.store(out)


def _build(model: Any, one_sample: Callable[[], Any]) -> None:
    try:
        model(one_sample(), training=False)
    except NotImplementedError as error:  # no call(): such models train by a train_step over models of their own
        if not model.trainable_variables:
            raise NoTrainableWeights(
                f"Model {model.name!r} has no call() that could build it, and no weights. Build its layers before peer.fit."
            ) from error

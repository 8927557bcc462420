"""A Keras app's trainer that begins with statistics of everyone's data: it is made when they are known, of data prepared with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyfl.errors import TrainingError
from pyfl.training.keras_variables import FlatVariables
from pyfl.training.label_counts import label_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyfl.datasets.dataset import Dataset
    from pyfl.preparation.plan import Measured
    from pyfl.training.layout import Layout
    from pyfl.training.trainer import Evaluation, Flat, FlatTrainer, RoundInfo, TrainOutcome

__all__ = ["PreparingKeras"]


class PreparingKeras:
    """`make` gives the trainer of `model` for what the statistics turned this peer's data into.

    Until then only the model's weights are asked for, so that TensorFlow traces once, for the shapes that are trained on.
    """

    def __init__(self, model: Any, dataset: Dataset, measured: Measured, make: Callable[[Mapping[str, Any]], FlatTrainer]) -> None:
        if not model.built:
            model(dataset.x_train[:1], training=False)
        variables = FlatVariables(model)
        self._layout = variables.layout
        self._initial = np.empty(variables.layout.size, np.float32)
        variables.store(self._initial)
        self._measured, self._make = measured, make
        self._trainer: FlatTrainer | None = None
        self.label_counts = label_counts(dataset.y_train)
        """Samples of each label, as they were before the preparation."""

    @property
    def layout(self) -> Layout:
        """The model's tensors."""
        return self._layout

    def initial(self, out: Flat) -> None:
        """Write the weights that the model was made with."""
        np.copyto(out, self._initial)

    def statistics(self) -> Measured:
        """What the app asks for, of this peer's data."""
        return self._measured

    def prepared(self, results: Mapping[str, Any]) -> None:
        """Make the trainer of the prepared data. Raises as `KerasTrainer`, and `DataError`."""
        self._trainer = self._make(results)

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:
        """See `FlatTrainer.train`."""
        return self._ready.train(base, out, info, stop)

    def evaluate(self, weights: Flat, share: tuple[int, int]) -> Evaluation | None:
        """See `FlatTrainer.evaluate`."""
        return self._ready.evaluate(weights, share)

    @property
    def _ready(self) -> FlatTrainer:
        if self._trainer is None:
            raise TrainingError("This app's data is not prepared yet; call prepared(results) before training, as a run does.")
        return self._trainer

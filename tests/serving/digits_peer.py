"""A fake peer that holds a committed model of the app `digits`, and the Keras model that it must agree with."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyfl.apps import load_app
from pyfl.checkpoints import Saved
from pyfl.peer.held_model import HeldModel
from pyfl.training.keras_variables import FlatVariables
from pyfl.wire import digests
from tests.serving.fake_peer import FakePeer

__all__ = ["DigitsPeer", "digits_model"]


@cache
def digits_model() -> Any:
    """The app's network with weights of its own."""
    return load_app("digits").resting_model()


def weights(round_number: int) -> NDArray[np.float32]:
    """Other weights each round."""
    variables = FlatVariables(digits_model())
    flat = np.empty(variables.layout.size, np.float32)
    variables.store(flat)
    return flat * np.float32(1 + round_number / 4)


class DigitsPeer(FakePeer):
    """Holds round 3 at first; `commit` goes on."""

    def __init__(self) -> None:
        super().__init__(have=3, app=load_app("digits"))
        self.commit(3)

    def commit(self, number: int) -> None:
        """Hold the model of this round from now on."""
        flat = weights(number)
        layout = FlatVariables(digits_model()).layout
        digest = digests.combine(digests.of_vector(flat))
        self.held = HeldModel(Saved("cafe", layout.digest, number, 0, digest, "", app="digits"), layout, flat, self.its_app)
        self.now(have=number, digest=digest)

    def model(self) -> HeldModel:
        return self.held

    def expected(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """What the model of now says, as probabilities [N, 10]; by `predict`."""
        model = load_app("digits").resting_model()
        FlatVariables(model).load(self.held.weights)
        outputs: NDArray[Any] = np.asarray(model.predict(inputs, verbose=0), np.float64)
        grown = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return grown / grown.sum(axis=1, keepdims=True)

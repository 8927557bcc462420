"""A model that is copied while the rounds go on is one committed model, whole."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pyfl.errors import NotCommittedYet
from pyfl.peer.held_model import copy_held
from pyfl.training.layout import Layout, TensorSpec
from pyfl.wire import digests

LAYOUT = Layout((TensorSpec("w", (4,)),))
RUN = SimpleNamespace(run="cafe", layout=LAYOUT, app="linear", options={})


def digest_of(weights: np.ndarray) -> str:
    return digests.combine(digests.of_vector(weights))


class Rounds:
    """A driver in the middle of a commit: the record of round 2 is there `early` looks before its weights are."""

    def __init__(self, early: int) -> None:
        self.old, self.new = np.zeros(4, np.float32), np.ones(4, np.float32)
        self.early, self.statistics = early, b"sum"
        have = SimpleNamespace(round=2, model=digest_of(self.new), state="")
        self.machine = SimpleNamespace(member=SimpleNamespace(have=have), view=SimpleNamespace(run=RUN))

    @property
    def buffers(self) -> Any:
        self.early -= 1
        return SimpleNamespace(base=self.old if self.early >= 0 else self.new)


def app_of(run: Any) -> Any:
    return run.app


def test_a_copy_that_falls_into_a_commit_is_taken_again() -> None:
    held = copy_held(Rounds(early=3), app_of)  # type: ignore[arg-type]
    np.testing.assert_array_equal(held.weights, np.ones(4))
    assert (held.saved.round, held.saved.model) == (2, digest_of(held.weights))
    assert held.saved.statistics == b"sum"
    assert held.app() == "linear"


def test_a_copy_is_the_askers_own() -> None:
    rounds = Rounds(early=0)
    held = copy_held(rounds, app_of)  # type: ignore[arg-type]
    rounds.new[:] = 7
    np.testing.assert_array_equal(held.weights, np.ones(4))


@pytest.mark.parametrize("have", [-1, 0])
def test_what_the_run_began_with_is_no_committed_model(have: int) -> None:
    rounds = Rounds(early=0)
    rounds.machine.member.have.round = have
    with pytest.raises(NotCommittedYet, match="after the first round"):
        copy_held(rounds, app_of)  # type: ignore[arg-type]


def test_weights_that_never_fit_their_digest_are_not_handed_out() -> None:
    with pytest.raises(NotCommittedYet):
        copy_held(Rounds(early=1000), app_of)  # type: ignore[arg-type]

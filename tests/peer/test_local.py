"""What a peer tells of itself: the classes in its data and what its trainings gave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyfl.apps import load_app
from pyfl.events import RoundCommitted, TrainingEnded
from pyfl.peer.journal import Journal
from pyfl.peer.local import LocalView, named_counts
from pyfl.peer.status import TrainedRound
from pyfl.training.label_counts import label_counts


@pytest.mark.parametrize(
    ("y", "counts"),
    [
        (np.array([0, 2, 2, 5]), {0: 1, 2: 2, 5: 1}),
        (np.array([[1], [1], [0]], np.uint8), {0: 1, 1: 2}),
        (np.eye(3, dtype=np.float32)[[0, 2, 2]], {0: 1, 2: 2}),
        (np.array([0.5, 1.5]), {}),
        (np.array([[0.2, 0.8]]), {}),
        (np.array([[1, 1, 0]]), {}),
        (np.array([-1, 1]), {}),
        (np.arange(5000), {}),
        (np.zeros((2, 4, 4), int), {}),
        (np.array([], int), {}),
        ({"a": np.array([1])}, {}),
        (None, {}),
    ],
)
def test_labels_are_counted_where_targets_are_classes(y: Any, counts: dict[int, int]) -> None:
    assert label_counts(y) == counts


def test_classes_are_called_by_name_and_those_without_a_sample_are_zero() -> None:
    assert named_counts({0: 2, 3: 1}, ("cat", "dog")) == {"cat": 2, "dog": 0, "2": 0, "3": 1}
    assert named_counts({}, ("cat", "dog")) == {}


def test_a_peer_of_digits_knows_its_classes_and_trainings() -> None:
    app = load_app("digits:partition=pathological:2")
    trainer = app.build(0, 3, seed=1)
    journal = Journal(None, "a" * 32)
    view = LocalView(journal)
    assert (view.samples, view.committed_at) == (0, None)
    journal.record(TrainingEnded(1, 240, 0.5, 0.5, True))
    committed = journal.record(RoundCommitted(1, 1, (), "", False, None, None, 0.0, 0.0))
    journal.record(TrainingEnded(2, 120, None, 0.0, False))
    view.refresh()
    told = view.told("a" * 32, "otter", trainer, lambda: app, {"bytes_sent": 7.0})
    assert list(told.classes) == list("0123456789")
    assert sum(count > 0 for count in told.classes.values()) == 2
    assert sum(told.classes.values()) == trainer.samples  # type: ignore[attr-defined]
    assert told.trained == (TrainedRound(1, 240, 0.5, 0.5, True, 480.0), TrainedRound(2, 120, None, 0.0, False, 0.0))
    assert (view.samples, view.committed_at) == (120, committed.time)
    assert (told.resources.bytes_sent, told.resources.bytes_received) == (7, 0)
    assert told.resources.rss_bytes > 1_000_000

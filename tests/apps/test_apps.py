"""Apps are found by name, take options, and build this peer's trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pyfl.apps import App, load_app
from pyfl.apps.onehot import parse_size, read_probes
from pyfl.errors import AppError
from pyfl.training import FlatTrainer, RoundInfo

if TYPE_CHECKING:
    from pathlib import Path


def updates(trainers: list[FlatTrainer], base: np.ndarray | None = None) -> np.ndarray:
    size = trainers[0].layout.size
    if base is None:
        base = np.empty(size, np.float32)
        trainers[0].initial(base)
    out = np.empty(size, np.float32)
    rows = []
    for trainer in trainers:
        trainer.train(base, out, RoundInfo(1, 1), lambda: False)
        rows.append(out - base)
    return np.array(rows)


def test_one_hot_probes_name_who_was_counted() -> None:
    app = load_app("onehot:40kB,stride=1000,tensors=3")
    rows = updates([app.build(index, 4) for index in range(4)])
    assert rows.shape == (4, 10_000)
    assert np.array_equal(rows.sum(axis=1), [10.0] * 4)
    counted = rows[[0, 2, 3]].sum(axis=0) / 3
    np.testing.assert_allclose(read_probes(counted, 1000, 4), [1 / 3, 0, 1 / 3, 1 / 3], rtol=1e-6)


@pytest.mark.parametrize(("place", "words"), [(1002, "Peer 2 was counted 2.0 in stride 1"), (7, "Coordinate 7")])
def test_one_hot_probes_that_disagree_are_reported(place: int, words: str) -> None:
    update = np.zeros(10_000)
    update[2::1000] = 1.0
    update[place :: 1000 if place < 1000 else 10_000] += 1.0
    with pytest.raises(AppError, match=words):
        read_probes(update, 1000, 4)


def test_an_explicit_coordinate_wins_over_the_index() -> None:
    trainer = load_app("onehot:40kB,stride=1000").build(0, 4, options={"coordinate": 3})
    assert np.flatnonzero(updates([trainer])[0]).tolist() == list(range(3, 10_000, 1000))


def test_one_hot_training_ends_when_told_to() -> None:
    trainer = load_app("onehot:4kB,stride=10,train_s=3600").build(0, 4)
    base = np.zeros(1000, np.float32)
    assert trainer.train(base, base.copy(), RoundInfo(1, 1), lambda: True).samples == 1


def test_least_squares_finds_the_truth_all_peers_share() -> None:
    app = load_app("linear:5")
    trainers = [app.build(index, 3, seed=7) for index in range(3)]
    model = np.zeros(6, np.float32)
    for _ in range(30):
        model = model + updates(trainers, model).mean(axis=0)
    evaluations = [trainer.evaluate(model, (0, 1)) for trainer in trainers]
    assert all(e is not None and e.loss is not None and e.loss < 0.05 for e in evaluations)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("digit", "Did you mean 'digits'"),
        ("digits:batchsize=3", "did you mean 'batch_size'"),
        ("digits:batch_size=x", "expected int, such as 16"),
        ("digits:16", "write it as name=value"),
        ("onehot:1MB,2MB", "write it as name=value"),
        ("no_such_module:app", "No module named"),
        ("pyfl.apps.onehot:trainer", "has no such name"),
        ("pyfl.apps.onehot:UNITS", "has a dict under that name"),
    ],
)
def test_an_app_that_cannot_be_used_is_refused(text: str, words: str) -> None:
    with pytest.raises(AppError, match=words):
        load_app(text)


@pytest.mark.parametrize("options", [{"size": "3XB"}, {"coordinate": 5000}, {"size": "0MB"}, {"tensors": 0}])
def test_probes_that_do_not_fit_are_refused(options: dict[str, str | int]) -> None:
    with pytest.raises(AppError):
        load_app("onehot").build(0, 4, options=options)


def test_an_app_of_ones_own_is_loaded_from_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_of_test.py").write_text(
        "from pyfl.apps import App\nfrom pyfl.apps.linear import app as linear\napp = App(trainer=linear.trainer, options=linear.options)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    app = load_app("mine_of_test:app:samples=9")
    assert app.record()["samples"] == 9
    assert app.build(0, 1).train(np.zeros(9, np.float32), np.zeros(9, np.float32), RoundInfo(1, 1), bool).samples == 9


def test_the_run_record_has_what_all_share_and_nothing_else() -> None:
    assert load_app("digits").record() == {"batch_size": 16, "limit_samples": 0, "local_epochs": 2, "partition": "iid"}
    assert load_app("digits:partition=dirichlet:0.5").record({"threads": 2})["partition"] == "dirichlet:0.5"
    assert "train_s" not in load_app("onehot").record()


def test_a_peer_that_is_told_no_index_takes_one_from_its_id() -> None:
    app = load_app("onehot:40kB,stride=1000")
    coordinates = {int(np.flatnonzero(updates([app.build(peer=f"peer{n}")])[0])[0]) for n in range(60)}
    assert coordinates == set(range(6))
    with pytest.raises(AppError, match="Peer 6 of 6"):
        app.build(6, 6)


def test_an_app_is_one_thing_or_the_other() -> None:
    with pytest.raises(AppError, match="either a model"):
        App()
    with pytest.raises(AppError, match="either data"):
        App(model=object)


def test_sizes() -> None:
    assert [parse_size(text) for text in ("64MB", "4MiB", "1.5kb", "12")] == [64_000_000, 4 << 20, 1500, 12]

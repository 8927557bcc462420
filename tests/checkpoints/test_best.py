"""The best round's checkpoint outlives all that are pruned, and `best.json` names it whatever happens."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from pyfl.checkpoints import BestMark, CheckpointStore, best_checkpoint, newest_checkpoint
from pyfl.errors import CheckpointError
from tests.checkpoints.test_store import files, saved, vectors


def opened(directory: Path) -> CheckpointStore:
    return CheckpointStore(directory, durable=True, warn=pytest.fail)


def mark(number: int, run: str = "run") -> BestMark:
    return BestMark(run, number, saved(number, *vectors(number)).model, "accuracy", 0.5)


def commit(store: CheckpointStore, *numbers: int) -> None:
    for number in numbers:
        assert store.commit(saved(number, *vectors(number)), *vectors(number))


def rounds_kept(directory: Path) -> list[int]:
    return [int(name[6:12]) for name in files(directory) if name.endswith(".safetensors")]


def test_pruning_leaves_the_best_until_another_is_better(tmp_path: Path) -> None:
    store = opened(tmp_path)
    commit(store, 1, 2)
    store.pin(mark(2))
    commit(store, 3, 4, 5, 6)
    assert rounds_kept(tmp_path) == [2, 5, 6]
    commit(again := opened(tmp_path), 7)
    assert rounds_kept(tmp_path) == [2, 6, 7], "also in another life of the peer"
    again.pin(mark(7))
    commit(again, 8, 9, 10)
    assert rounds_kept(tmp_path) == [7, 9, 10]


def test_the_best_is_read_beside_the_newest_from_one_peer_or_a_folder_of_several(tmp_path: Path) -> None:
    store = opened(tmp_path / "peer-1" / "checkpoints")
    commit(store, 3)
    store.pin(mark(3))
    commit(store, 4, 5, 6)
    late = opened(tmp_path / "peer-0" / "checkpoints")
    commit(late, 6)
    late.pin(mark(3))
    for directory in (tmp_path, tmp_path / "peer-1", tmp_path / "peer-1" / "checkpoints"):
        found, model = best_checkpoint(directory)
        assert found.round == 3
        assert np.array_equal(model, vectors(3)[0])
        assert newest_checkpoint(directory)[0].round == 6


def test_a_peer_that_came_after_the_best_round_says_that_it_never_had_it(tmp_path: Path) -> None:
    store = opened(tmp_path / "checkpoints")
    commit(store, 6)
    with pytest.raises(CheckpointError, match=r"no best round in .*leave --best out"):
        best_checkpoint(tmp_path)
    store.pin(mark(3))
    with pytest.raises(CheckpointError, match=r"best round is 3, with accuracy 0.5, and its model is not in .*another peer's"):
        best_checkpoint(tmp_path)


def test_a_best_round_that_left_the_model_as_it_was_is_found_by_its_digest(tmp_path: Path) -> None:
    store = opened(tmp_path)
    commit(store, 1)
    store.pin(BestMark("run", 4, mark(1).model, "accuracy", 0.5))
    commit(store, 5, 6, 7)
    assert rounds_kept(tmp_path) == [1, 6, 7]
    (tmp_path / "round-000007.safetensors").write_bytes(b"damaged")
    assert best_checkpoint(tmp_path)[0].round == 1
    (tmp_path / "round-000001.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"One there cannot be read: .*round-000001"):
        best_checkpoint(tmp_path)


def test_the_best_of_another_run_is_no_reason_to_keep_a_checkpoint(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.pin(mark(1, run="another run"))
    commit(store, 1, 2, 3)
    assert rounds_kept(tmp_path) == [2, 3]


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_full_disk_leaves_the_old_mark_and_is_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    store = opened(tmp_path)
    commit(store, 1)
    store.pin(mark(1))
    commit(store, 2)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(CheckpointError, match=r"best\.json could not be written: .*No space left"):
            store.pin(mark(2))
    assert best_checkpoint(tmp_path)[0].round == 1
    store.pin(mark(2))
    assert best_checkpoint(tmp_path)[0].round == 2, "and goes on when there is room again"


def test_a_mark_that_cannot_be_read_is_set_aside_and_told(tmp_path: Path) -> None:
    (tmp_path / "best.json").write_bytes(b"{")
    with pytest.raises(CheckpointError, match=r"best\.json cannot be read"):
        best_checkpoint(tmp_path)
    told: list[str] = []
    CheckpointStore(tmp_path, durable=True, warn=told.append)
    assert len(told) == 1
    assert "set aside as .corrupt" in told[0]
    assert files(tmp_path) == ["best.json.corrupt"]

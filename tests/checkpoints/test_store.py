"""Claims about checkpoints on disk: whatever happens in the middle of writing, a model is there to load, and bad ones are told."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pyfl.checkpoints import CheckpointStore, Saved
from pyfl.errors import CheckpointError
from pyfl.wire import digests

Flat = NDArray[np.float32]

SIZE = 1000


class Crash(BaseException):
    """Kill -9 as far as the code under test can tell: nothing catches it."""


def vectors(seed: int, count: int = 1) -> tuple[Flat, list[Flat]]:
    """A model and its server state."""
    draw = np.random.default_rng(seed)
    return draw.normal(size=SIZE).astype(np.float32), [draw.normal(size=SIZE).astype(np.float32) for _ in range(count)]


def saved(number: int, model: Flat, state: list[Flat], epoch: int = 1) -> Saved:
    """The sidecar of a model."""
    digest = digests.combine(digests.of_vector(model))
    return Saved("run", "layout", number, epoch, digest, digests.combine_vectors([digests.of_vector(v) for v in state]), len(state))


def empty() -> tuple[Flat, list[Flat]]:
    """Room to load into."""
    return np.zeros(SIZE, np.float32), [np.zeros(SIZE, np.float32)]


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def opened(tmp_path: Path, warnings: list[str]) -> Callable[[], CheckpointStore]:
    """Open the same directory, as a peer that starts again does."""
    return lambda: CheckpointStore(tmp_path, durable=True, warn=warnings.append)


def load(store: CheckpointStore, *, staged: bool = False) -> tuple[Saved | None, Flat]:
    model, state = empty()
    found = (store.staged if staged else store.newest)("run", "layout", model, state)
    return found, model


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_newest_of_two_kept_models_is_loaded(opened: Callable[[], CheckpointStore], tmp_path: Path) -> None:
    store = opened()
    for number in range(1, 5):
        assert store.commit(saved(number, *vectors(number)), *vectors(number))
    found, model = load(opened())
    assert found is not None
    assert found.round == 4
    assert np.array_equal(model, vectors(4)[0])
    assert files(tmp_path) == [f"round-00000{n}{suffix}" for n in (3, 4) for suffix in (".json", ".safetensors")]


def test_a_staged_result_takes_its_committed_name(opened: Callable[[], CheckpointStore], tmp_path: Path) -> None:
    store = opened()
    assert store.stage(saved(7, *vectors(7), epoch=2), *vectors(7))
    inode = (tmp_path / "staged-7-2.safetensors").stat().st_ino
    assert store.commit(saved(7, *vectors(7), epoch=2), *empty()), "memory has gone on, and what is staged is enough"
    assert (tmp_path / "round-000007.safetensors").stat().st_ino == inode, "it is not written twice"
    assert files(tmp_path) == ["round-000007.json", "round-000007.safetensors"]


def test_a_later_epoch_replaces_what_was_staged(opened: Callable[[], CheckpointStore], tmp_path: Path) -> None:
    store = opened()
    store.stage(saved(9, *vectors(1), epoch=1), *vectors(1))
    store.stage(saved(9, *vectors(2), epoch=10), *vectors(2))
    found, model = load(opened(), staged=True)
    assert found is not None
    assert found.epoch == 10
    assert np.array_equal(model, vectors(2)[0])
    assert len(files(tmp_path)) == 2


def test_a_round_of_two_digits_is_newer_than_one_of_one_digit(
    opened: Callable[[], CheckpointStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    store.stage(saved(9, *vectors(1)), *vectors(1))
    monkeypatch.setattr(store, "_remove_staged", lambda unwanted: None)  # as if it had crashed before
    store.stage(saved(10, *vectors(2)), *vectors(2))
    found, _ = load(opened(), staged=True)
    assert found is not None
    assert found.round == 10


def test_what_memory_no_longer_holds_is_not_kept(opened: Callable[[], CheckpointStore], tmp_path: Path) -> None:
    store = opened()
    model, state = vectors(1)
    said = saved(1, model, state)
    state[0][5] += 1.0
    assert not store.commit(said, model, state)
    assert not store.stage(said, model, state)
    assert files(tmp_path) == []


def crash_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    """Crash at the number-th call that changes the disk; returns the calls that were made."""
    made: list[str] = []

    def counted(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            made.append(name)
            if len(made) == number:
                raise Crash
            return real(*args, **kwargs)

        return call

    for name in ("replace", "link", "unlink", "fsync"):
        monkeypatch.setattr(os, name, counted(name, getattr(os, name)))
    monkeypatch.setattr("pyfl.checkpoints.store.save_file", counted("save", save_file))
    monkeypatch.setattr(Path, "write_bytes", counted("write", Path.write_bytes))
    return made


@pytest.mark.parametrize("links", [True, False], ids=["links", "no-links"])
def test_a_crash_between_any_two_steps_leaves_the_old_model_or_the_new(tmp_path: Path, warnings: list[str], links: bool) -> None:
    """Round 1 is committed, round 2 is staged at epoch 1, staged again at epoch 2, committed. Crash at every step in turn."""
    steps = 0
    while True:
        steps += 1
        directory = tmp_path / str(steps)
        store = CheckpointStore(directory, durable=True, warn=warnings.append)
        store.commit(saved(1, *vectors(1)), *vectors(1))
        did, crashed = "began", False
        with pytest.MonkeyPatch.context() as patch:
            if not links:
                patch.setattr(os, "link", refuse_link)
            crash_at(patch, steps)
            try:
                store.stage(saved(2, *vectors(2), epoch=1), *vectors(2))
                did = "staged once"
                store.stage(saved(2, *vectors(3), epoch=2), *vectors(3))
                did = "staged twice"
                store.commit(saved(2, *vectors(3), epoch=2), *vectors(3))
                did = "committed"
            except Crash:
                crashed = True
        again = CheckpointStore(directory, durable=True, warn=warnings.append)
        committed, model = load(again)
        staged, result = load(again, staged=True)
        assert committed is not None, f"step {steps}: {did}, and no checkpoint is left"
        assert np.array_equal(model, vectors(1 if committed.round == 1 else 3)[0])
        if did == "staged once":
            assert staged is not None, f"step {steps}: what was staged is lost"
            assert np.array_equal(result, vectors(2 if staged.epoch == 1 else 3)[0])
        if did == "staged twice":
            assert committed.round == 2 or (staged is not None and staged.epoch == 2), f"step {steps}: the result that counts is lost"
        if did == "committed":
            assert committed.round == 2
        assert warnings == [], f"step {steps}: a crash is taken for corruption"
        assert not list(directory.glob(".*.tmp"))
        if not crashed:
            break
    assert steps > 20, f"only {steps} steps were tried"


def refuse_link(*_: object) -> None:
    raise OSError(errno.EPERM, "no links here")


@pytest.mark.parametrize("damage", ["model", "state", "sidecar", "latin1", "truncated", "gone", "shape"])
def test_a_damaged_checkpoint_is_set_aside_and_the_older_one_used(
    opened: Callable[[], CheckpointStore], tmp_path: Path, warnings: list[str], damage: str
) -> None:
    store = opened()
    store.commit(saved(1, *vectors(1)), *vectors(1))
    store.commit(saved(2, *vectors(2)), *vectors(2))
    path, sidecar = tmp_path / "round-000002.safetensors", tmp_path / "round-000002.json"
    model, state = vectors(2)
    match damage:
        case "model":
            model[0] += 1.0
            save_file({"model": model, "state_0": state[0]}, path)
        case "state":
            state[0][0] += 1.0
            save_file({"model": model, "state_0": state[0]}, path)
        case "shape":
            save_file({"model": model.astype(np.float64), "state_0": state[0]}, path)
        case "latin1":
            sidecar.write_bytes(b'{"run": "\xff"}')
        case "sidecar":
            sidecar.write_bytes(b'{"run": 3')
        case "truncated":
            path.write_bytes(path.read_bytes()[:-100])
        case _:
            path.unlink()
            sidecar.touch()
    found, loaded = load(store)
    assert found is not None
    assert found.round == 1
    assert np.array_equal(loaded, vectors(1)[0])
    assert len(warnings) == 1
    assert "round-000002 is set aside" in warnings[0]
    assert (tmp_path / "round-000002.json.corrupt").exists()
    assert (tmp_path / "round-000002.safetensors.corrupt").exists() == (damage != "gone"), "kept for whoever wants to look"


def test_another_runs_checkpoints_are_left_alone(opened: Callable[[], CheckpointStore], warnings: list[str]) -> None:
    store = opened()
    store.commit(saved(3, *vectors(3)), *vectors(3))
    assert store.newest("another run", "layout", *empty()) is None
    assert store.newest("run", "another layout", *empty()) is None
    assert store.newest("run", "layout", np.zeros(SIZE, np.float32), []) is None
    assert warnings == []
    assert load(store)[0] is not None


def test_a_file_of_the_users_own_is_not_swept_away(opened: Callable[[], CheckpointStore], tmp_path: Path) -> None:
    for name in ("best.safetensors", "round-one.safetensors"):
        (tmp_path / name).write_bytes(b"mine")
    opened()
    assert files(tmp_path) == ["best.safetensors", "round-one.safetensors"]


@pytest.mark.parametrize("call", ["save", "replace", "fsync"])
def test_a_full_disk_is_a_typed_error_and_the_last_checkpoint_stays(
    opened: Callable[[], CheckpointStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    store = opened()
    store.commit(saved(1, *vectors(1)), *vectors(1))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pyfl.checkpoints.store.save_file" if call == "save" else f"os.{call}", full)
        with pytest.raises(CheckpointError, match=r"Round 2 could not be written .*No space left.*make room"):
            store.commit(saved(2, *vectors(2)), *vectors(2))
    found, _ = load(opened())
    assert found is not None
    assert found.round == 1
    assert files(tmp_path) == ["round-000001.json", "round-000001.safetensors"], "what was half written is gone"
    assert store.commit(saved(2, *vectors(2)), *vectors(2)), "and goes on when there is room again"


def test_a_directory_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"cannot be used for checkpoints.*--data-dir"):
        CheckpointStore(tmp_path / "file" / "checkpoints", durable=True, warn=print)

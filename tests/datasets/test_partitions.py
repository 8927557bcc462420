"""Laws of the partitioners."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfl.datasets import Partitioner, digits, dirichlet, iid, parse, pathological
from pyfl.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

labels = st.lists(st.integers(0, 9), max_size=200).map(lambda values: np.array(values, np.int32))
peers = st.integers(1, 12)
seeds = st.integers(0, 2**32)
alphas = st.floats(1e-3, 1e3)
partitioners = st.one_of(
    st.just(iid()), alphas.map(dirichlet), st.integers(1, 4).map(pathological)
)  # fmt: skip


@given(labels, peers, seeds, st.one_of(st.just(iid()), alphas.map(dirichlet)))
def test_every_sample_goes_to_exactly_one_peer(y: np.ndarray, n: int, seed: int, partitioner: Partitioner) -> None:
    parts = [partitioner(y, n, index, seed) for index in range(n)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(y)))


@given(labels, peers, seeds)
def test_iid_parts_differ_by_one_sample_at_most(y: np.ndarray, n: int, seed: int) -> None:
    sizes = [len(part) for part in iid().parts(y, n, seed)]
    assert max(sizes) - min(sizes) <= 1


@given(labels, peers, seeds, alphas)
def test_dirichlet_leaves_nobody_empty_handed(y: np.ndarray, n: int, seed: int, alpha: float) -> None:
    sizes = [len(part) for part in dirichlet(alpha).parts(y, n, seed)]
    assert min(sizes) >= min(1, len(y) // n)


@given(peers, seeds, st.integers(1, 10))
def test_pathological_peers_see_so_many_classes_and_no_sample_twice(n: int, seed: int, classes: int) -> None:
    y = np.repeat(np.arange(10, dtype=np.int32), 12)
    parts = pathological(classes).parts(y, n, seed)
    assert all(len(np.unique(y[part])) == classes for part in parts)
    dealt = np.concatenate(parts)
    assert len(np.unique(dealt)) == len(dealt) == 12 * min(10, n * classes)


@given(labels, peers, seeds, partitioners)
def test_all_peers_draw_the_same_partition(y: np.ndarray, n: int, seed: int, partitioner: Partitioner) -> None:
    if partitioner.name == "pathological" and partitioner.arguments[0] > len(np.unique(y)):
        return
    again = parse(str(partitioner))
    assert again == partitioner
    assert hash(again) == hash(partitioner)
    for one, other in zip(partitioner.parts(y, n, seed), again.parts(y, n, seed), strict=True):
        assert np.array_equal(one, other)


def test_smaller_alpha_makes_peers_differ_more() -> None:
    y = np.repeat(np.arange(10), 100)

    def spread(alpha: float) -> float:
        counts = [np.bincount(y[part], minlength=10) for part in dirichlet(alpha).parts(y, 10, 1)]
        return float(np.std(counts))

    assert spread(100.0) < spread(1.0) < spread(0.1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("even", "dirichlet, iid, pathological"),
        ("dirichlet", "other arguments"),
        ("dirichlet:x", "must be numbers"),
        ("dirichlet:0", "above 0"),
        ("dirichlet:nan", "above 0"),
        ("iid:1", "other arguments"),
        ("pathological:1.5", "whole number"),
        ("pathological:0", "at least 1"),
        ("pathological:inf", "whole number"),
    ],
)
def test_a_partitioner_that_cannot_be_read_is_refused(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        parse(text)


@pytest.mark.parametrize(
    "ask",
    [lambda: iid()(np.zeros(3), 2, 2, 0), lambda: iid()(np.zeros(3), 2, -1, 0), lambda: iid().parts(np.zeros(3), 0, 0)],
)
def test_a_peer_that_does_not_exist_is_refused(ask: Callable[[], object]) -> None:
    with pytest.raises(DataError, match="peer"):
        ask()


def test_the_digits_hold_out_a_fifth_of_every_class_and_always_the_same() -> None:
    data, again = digits(), digits()
    assert len(data.y_train) + len(data.y_test) == 1797
    share = np.bincount(data.y_test) / (np.bincount(data.y_train) + np.bincount(data.y_test))
    assert np.all(np.abs(share - 0.2) < 0.01)
    assert np.array_equal(data.x_test, again.x_test)
    assert (data.x_train.dtype, data.x_train.min(), data.x_train.max()) == (np.float32, 0.0, 1.0)
    rows = {row.tobytes() for row in data.x_train}
    assert not [row for row in data.x_test if row.tobytes() in rows]

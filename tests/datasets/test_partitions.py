"""Laws of the partitioners."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfl.datasets import (
    Partitioner,
    dirichlet,
    exponential,
    iid,
    linear,
    natural,
    parse,
    pathological,
    register,
    shard,
    size,
    square,
)
from pyfl.errors import DataError

Labels = np.ndarray

peers = st.integers(1, 12)
seeds = st.integers(0, 2**32)
alphas = st.floats(1e-3, 1e3)
uneven_sizes = st.sampled_from([linear(), square(), exponential()])
complete = st.one_of(st.just(iid()), alphas.map(dirichlet), st.just(shard(1)), uneven_sizes)


def labels_for(n: int) -> st.SearchStrategy[Labels]:
    """At least one sample a peer."""
    return st.lists(st.integers(0, 9), min_size=n, max_size=200).map(lambda values: np.array(values, np.int32))


with_labels = peers.flatmap(lambda n: st.tuples(st.just(n), labels_for(n)))


@given(with_labels, seeds, complete)
def test_every_sample_goes_to_exactly_one_peer_and_nobody_is_left_empty(
    swarm: tuple[int, Labels], seed: int, partitioner: Partitioner
) -> None:
    n, y = swarm
    parts = [partitioner(y, n, index, seed) for index in range(n)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(y)))
    assert min(len(part) for part in parts) >= 1


@given(with_labels, seeds)
def test_iid_parts_differ_by_one_sample_at_most(swarm: tuple[int, Labels], seed: int) -> None:
    n, y = swarm
    sizes = [len(part) for part in iid().parts(y, n, seed)]
    assert max(sizes) - min(sizes) <= 1


@given(with_labels, seeds, alphas, st.integers(1, 20))
def test_dirichlet_gives_each_at_least_the_least(swarm: tuple[int, Labels], seed: int, alpha: float, least: int) -> None:
    n, y = swarm
    partitioner = dirichlet(alpha, least)
    if least * n > len(y):
        with pytest.raises(DataError, match=f"at least {least} for each of {n} peers"):
            partitioner.parts(y, n, seed)
        return
    parts = partitioner.parts(y, n, seed)
    assert min(len(part) for part in parts) >= least
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(y)))


@given(peers, seeds, st.integers(1, 10))
def test_pathological_peers_see_so_many_classes_and_no_sample_twice(n: int, seed: int, classes: int) -> None:
    y = np.repeat(np.arange(10, dtype=np.int32), 12)
    parts = pathological(classes).parts(y, n, seed)
    assert all(len(np.unique(y[part])) == classes for part in parts)
    dealt = np.concatenate(parts)
    assert len(np.unique(dealt)) == len(dealt) == 12 * min(10, n * classes)


@given(peers, seeds, st.integers(1, 4))
def test_shard_peers_see_few_classes_and_every_sample_is_dealt_once(n: int, seed: int, each: int) -> None:
    y = np.tile(np.arange(10, dtype=np.int32), 12)
    parts = shard(each).parts(y, n, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(120))
    # A shard is a run of the sorted samples: 120 / shards of them touch so many classes at most.
    classes_a_shard = (-(-120 // (n * each)) - 1) // 12 + 2
    assert all(len(np.unique(y[part])) <= each * classes_a_shard for part in parts)


@given(st.integers(2, 12), seeds)
def test_sizes_grow_as_their_names_say(n: int, seed: int) -> None:
    y = np.zeros(100_000, np.int32)
    for partitioner, weight in ((linear(), lambda k: k), (square(), lambda k: k * k), (exponential(), np.exp)):
        sizes = np.array([len(part) for part in partitioner.parts(y, n, seed)])
        wanted = weight(np.arange(1.0, n + 1))
        np.testing.assert_allclose(sizes, 100_000 * wanted / wanted.sum(), atol=n + 2)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), seeds)
def test_given_sizes_are_what_each_gets(sizes: list[int], seed: int) -> None:
    parts = size(*sizes).parts(np.zeros(200, np.int32), len(sizes), seed)
    assert [len(part) for part in parts] == sizes
    assert len(np.unique(np.concatenate(parts))) == sum(sizes)


@given(st.lists(st.sampled_from(["ann", "bob", "cid", "dee", "eve"]), min_size=1, max_size=50), peers, seeds)
def test_natural_groups_stay_whole(writers: list[str], n: int, seed: int) -> None:
    groups = np.array(writers)
    if len(set(writers)) < n:
        with pytest.raises(DataError, match="fewer"):
            natural().parts(np.zeros(len(writers)), n, seed, groups)
        return
    parts = natural().parts(np.zeros(len(writers)), n, seed, groups)
    owners = [set(groups[part]) for part in parts]
    assert sorted(name for owner in owners for name in owner) == sorted(set(writers))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(writers)))


@given(with_labels, seeds, st.one_of(complete, st.integers(1, 4).map(pathological), st.integers(1, 4).map(shard)))
def test_all_peers_draw_the_same_partition(swarm: tuple[int, Labels], seed: int, partitioner: Partitioner) -> None:
    n, y = swarm
    again = parse(str(partitioner))
    assert again == partitioner
    assert hash(again) == hash(partitioner)
    try:
        parts = partitioner.parts(y, n, seed)
    except DataError as error:
        with pytest.raises(DataError, match=re.escape(str(error))):
            again.parts(y, n, seed)
        return
    dealt = np.concatenate(parts)
    assert len(np.unique(dealt)) == len(dealt)
    assert min(len(part) for part in parts) >= 1
    for one, other in zip(parts, again.parts(y, n, seed), strict=True):
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
        ("even", "dirichlet, exponential, iid"),
        ("dirichlet", "other arguments"),
        ("dirichlet:x", "must be numbers"),
        ("dirichlet:0", "above 0"),
        ("dirichlet:nan", "above 0"),
        ("dirichlet:1:0", "at least 1"),
        ("iid:1", "other arguments"),
        ("pathological:1.5", "whole number"),
        ("pathological:0", "at least 1"),
        ("pathological:inf", "whole number"),
        ("shard:0", "at least 1"),
        ("size:3:-1", "at least 1"),
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


@pytest.mark.parametrize(
    ("partitioner", "words"),
    [
        (iid(), r"fewer samples \(3\) than peers \(4\)"),
        (natural(), r"fewer samples \(3\) than peers \(4\)"),
        (shard(2), r"fewer samples \(3\) than peers \(4\)"),
    ],
)
def test_fewer_samples_than_peers_is_said(partitioner: Partitioner, words: str) -> None:
    with pytest.raises(DataError, match=words):
        partitioner.parts(np.zeros(3), 4, 0)


def test_fewer_samples_than_a_class_has_viewers_is_said() -> None:
    y = np.array([0, 1, 1, 1, 1, 2, 2, 2, 2])
    with pytest.raises(DataError, match=r"Class 0 has fewer samples \(1\) than the 4 peers"):
        pathological(3).parts(y, 4, 0)
    with pytest.raises(DataError, match=r"fewer samples \(9\) than shards"):
        shard(3).parts(y, 4, 0)
    with pytest.raises(DataError, match="expected 4, at most 9"):
        size(1, 2, 3).parts(y, 4, 0)
    with pytest.raises(DataError, match="does not say"):
        natural().parts(y, 2, 0)


def test_a_partitioner_of_ones_own_that_leaves_somebody_empty_is_refused() -> None:
    @register("test_to_the_first")
    def _(labels: Labels, n: int, draw: np.random.Generator) -> list[np.ndarray]:
        return [np.arange(len(labels)), *(np.empty(0, np.int64) for _ in range(n - 1))]

    with pytest.raises(DataError, match="leaves 2 of 3 peers without any, the first is peer 1"):
        parse("test_to_the_first").parts(np.zeros(9), 3, 0)

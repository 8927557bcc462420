"""Laws of federated preparation: the swarm's statistic is that of all data together, bit for bit, however it is divided."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfl import kernels
from pyfl.errors import DataError
from pyfl.preparation import Classes, Moments, Statistic, Vocabulary, combine, from_wire, to_wire
from pyfl.preparation.statistic import of_integers, to_integers

seeds = st.integers(0, 2**32)
parts = st.integers(1, 7)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=6)


def divided(data: Any, n: int, seed: int) -> list[Any]:
    """Any division, empty parts and all."""
    owner = np.random.default_rng(seed).integers(n, size=len(data))
    if isinstance(data, np.ndarray):
        return [data[owner == peer] for peer in range(n)]
    return [[item for item, own in zip(data, owner, strict=True) if own == peer] for peer in range(n)]


def over_the_swarm(statistic: Statistic, pieces: list[Any]) -> Any:
    """Through the wire's int32, added by the kernel that rounds use, last peer first."""
    total = np.zeros(4 * statistic.length, np.int32)
    for piece in reversed(pieces):
        vector = statistic.local(piece)
        assert (vector.shape, vector.dtype) == ((statistic.length,), np.int64)
        kernels.add(total, to_wire(vector))
    finished = statistic.finish(from_wire(total))
    assert finished == statistic.finish(combine(statistic.local(piece) for piece in pieces))
    return finished


@given(st.lists(st.lists(st.floats(-255, 255), min_size=3, max_size=3), min_size=1, max_size=40), parts, seeds)
def test_moments_of_any_division_are_those_of_all_data(rows: list[list[float]], n: int, seed: int) -> None:
    data = np.array(rows)
    whole = Moments(3).finish(Moments(3).local(data))
    assert over_the_swarm(Moments(3), divided(data, n, seed)) == whole
    assert whole.count == len(rows)
    np.testing.assert_allclose(whole.mean, data.mean(axis=0), atol=2**-16)
    np.testing.assert_allclose(whole.deviation, data.std(axis=0), atol=2**-14)


def test_moments_of_pixels_are_exact_where_floats_lose_digits() -> None:
    pixels = np.full((300, 32, 32, 1), 255, np.uint8)
    pixels[0, 0, 0, 0] = 254
    found = over_the_swarm(Moments(1), divided(pixels, 5, 1))
    n = 300 * 32 * 32
    assert found.count == n
    assert found.mean[0] == float(Fraction(255 * n - 1, n))
    assert found.deviation[0] == math.sqrt(Fraction(n - 1, n * n))


@pytest.mark.parametrize("value", [256.0, -256.0, math.nan, math.inf])
def test_a_value_that_does_not_fit_is_named(value: float) -> None:
    data = np.zeros((20_000, 2))
    data[17_000, 1] = value
    with pytest.raises(DataError, match=rf"Value 17000 of channel 1 is {value}.*below 256"):
        Moments(2).local(data)
    if math.isfinite(value):
        assert Moments(2, fraction_bits=8).finish(Moments(2, fraction_bits=8).local(data)).count == 20_000


def test_no_data_at_all_and_other_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="no data between them"):
        Moments(2).finish(Moments(2).local(np.zeros((0, 2))))
    with pytest.raises(DataError, match="expected 3 channels"):
        Moments(3).local(np.zeros((4, 2)))
    with pytest.raises(DataError, match="no labels between them"):
        Classes(3).finish(Classes(3).local(np.zeros(0, np.int32)))
    with pytest.raises(DataError, match="statistics differ"):
        combine([np.zeros(3, np.int64), np.zeros(4, np.int64)])
    with pytest.raises(DataError, match="no peer's vector"):
        combine([])


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), parts, seeds)
def test_classes_of_any_division_are_those_of_all_labels(labels: list[int], n: int, seed: int) -> None:
    found = over_the_swarm(Classes(10), divided(np.array(labels), n, seed))
    assert dict(zip(found.classes, found.counts, strict=True)) == Counter(labels)
    assert list(found.classes) == sorted(set(labels))


def test_a_label_out_of_range_is_named() -> None:
    with pytest.raises(DataError, match="Label 1 of the training data is 7"):
        Classes(7).local(np.array([0, 7]))


@given(st.lists(words, max_size=60), parts, seeds)
def test_words_of_any_division_are_those_of_all_texts(texts: list[str], n: int, seed: int) -> None:
    found = over_the_swarm(Vocabulary(60, 24), divided(texts, n, seed))
    assert dict(found.counts) == Counter(texts)
    assert [count for _, count in found.counts] == sorted(Counter(texts).values(), reverse=True)
    assert found.left_out == 0


def test_a_table_reads_as_many_words_as_it_has_room_for_and_says_when_there_are_more() -> None:
    vocabulary = Vocabulary(2000, 8)
    texts = [f"w{number}" for number in range(2000) for _ in range(1 + number % 3)]
    found = over_the_swarm(vocabulary, divided(texts, 4, 0))
    assert len(found.counts) == 2000
    assert dict(found.counts) == Counter(texts)
    with pytest.raises(DataError, match="more than the 2000 different words"):
        vocabulary.finish(vocabulary.local(f"w{number}" for number in range(4000)))


def test_words_that_are_too_long_are_counted_and_ones_that_cannot_be_are_refused() -> None:
    vocabulary = Vocabulary(10, 4)
    found = over_the_swarm(vocabulary, [["good", "longer", "good"], ["longest", "é" * 2, "é" * 3]])
    assert (dict(found.counts), found.left_out) == ({"good": 2, "éé": 1}, 3)
    for word in ("", "a\0b"):
        with pytest.raises(DataError, match="not empty and have no zero byte"):
            vocabulary.local([word])


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9), st.integers(1, 9))
def test_the_wires_limbs_add_up_to_the_sum_modulo_2_to_the_64(values: list[int], n: int) -> None:
    vector = np.array(values, np.int64)
    total = np.zeros(4 * len(values), np.int32)
    for _ in range(n):
        kernels.add(total, to_wire(vector))
    expected = [(value * n + 2**63) % 2**64 - 2**63 for value in values]
    assert from_wire(total).tolist() == expected


def test_the_largest_limbs_of_as_many_peers_as_are_allowed_lose_no_carry() -> None:
    limbs = to_wire(np.array([-1], np.int64)).astype(np.int64)
    total = (limbs * 65_536).astype(np.uint32).view(np.int32)
    assert from_wire(total).tolist() == [-65_536]
    with pytest.raises(DataError, match="multiple of 4"):
        from_wire(np.zeros(5, np.int32))


@given(st.lists(st.lists(st.integers(-(2**120), 2**120), min_size=2, max_size=2), min_size=1, max_size=9))
def test_large_integers_add_up_in_digits(numbers: list[list[int]]) -> None:
    total = combine(of_integers(pair, 4) for pair in numbers)
    assert to_integers(total, 4) == [sum(column) for column in zip(*numbers, strict=True)]

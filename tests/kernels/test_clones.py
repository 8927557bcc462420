"""Every clone that this machine can run gives the plain reference's bits, whatever the values, lengths and offsets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pyfl import kernels
from tests.kernels import reference

# Values where a rounding, a clamp or a conversion could go another way.
EDGES = [
    0.0, -0.0, 0.5, -0.5, 1.5, 2.5, 1e-45, -1e-45, 1.1754942e-38, 1.1754944e-38, 3.4028235e38, -3.4028235e38,
    8388607.5, 8388608.0, -8388609.0, 2147483520.0, 2147483648.0, -2147483648.0,
    float("inf"), float("-inf"), float("nan"),
]  # fmt: skip

T = TypeVar("T", bound=np.generic)

floats = st.one_of(st.sampled_from(EDGES), st.floats(width=32))
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
integers = st.one_of(st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31)]), st.integers(-(2**31), 2**31 - 1))


class Case:
    """One segment of up to a few vectors' length, at any 4-byte offset in memory, cut into pieces."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.size = draw(st.integers(0, 150))
        self.offset = draw(st.integers(0, 17))
        cuts = sorted(draw(st.lists(st.integers(0, self.size), max_size=4)))
        self.bounds = np.array([0, *cuts, self.size], dtype=np.int64)
        self._draw = draw
        self._random = np.random.default_rng(draw(st.integers(0, 2**32)))

    def place(self, values: NDArray[T]) -> NDArray[T]:
        """The same values at this case's offset from a 64-byte boundary."""
        room = np.zeros(len(values) + self.offset, dtype=values.dtype)
        room[self.offset :] = values
        return room[self.offset :]

    def f32(self) -> reference.F32:
        """Any bit pattern, with drawn edge values strewn in."""
        bits = self._random.integers(0, 2**32, self.size, dtype=np.uint32)
        ordinary = self._random.standard_normal(self.size, dtype=np.float32)
        values = np.where(self._random.random(self.size) < 0.5, bits.view(np.float32), ordinary)
        for value in self._draw(st.lists(floats, max_size=8)):
            if self.size:
                values[self._random.integers(self.size)] = value
        return self.place(values)

    def i32(self) -> reference.I32:
        values = self._random.integers(-(2**31), 2**31, self.size).astype(np.int32)
        for value in self._draw(st.lists(integers, max_size=8)):
            if self.size:
                values[self._random.integers(self.size)] = value
        return self.place(values)

    def per_piece(self, values: st.SearchStrategy[float]) -> reference.F32:
        count = len(self.bounds) - 1
        return np.array(self._draw(st.lists(values, min_size=count, max_size=count)), dtype=np.float32)

    def out(self, dtype: type[T]) -> NDArray[T]:
        return self.place(np.zeros(self.size, dtype=dtype))


cases = st.composite(Case)
each_clone = pytest.mark.parametrize("clone", kernels.clones())


@pytest.fixture(autouse=True)
def _give_the_clone_back() -> Iterator[None]:
    before = kernels.active_clone()
    yield
    kernels.use_clone(before)


@pytest.fixture(autouse=True)
def _overflow_is_the_point() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def assert_same_bits(found: reference.F32, expected: reference.F32) -> None:
    """Equal bit for bit; any NaN equals any NaN, since its payload is not promised."""
    nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(found), nan)
    np.testing.assert_array_equal(found.view(np.uint32)[~nan], expected.view(np.uint32)[~nan])


@each_clone
@given(case=cases())
def test_exponents_are_those_of_frexp(clone: str, case: Case) -> None:
    kernels.use_clone(clone)
    x = case.f32()
    found, is_finite = kernels.exponents(x, case.bounds)
    expected, expected_finite = reference.exponents(x, case.bounds)
    assert is_finite == expected_finite
    for piece, (start, end) in enumerate(zip(case.bounds[:-1], case.bounds[1:], strict=True)):
        assert found[piece] == (expected[piece] if np.isfinite(x[start:end]).all() else 129)


@each_clone
@given(case=cases())
def test_quantise_clips_scales_and_rounds_half_to_even(clone: str, case: Case) -> None:
    kernels.use_clone(clone)
    update, multipliers, clips = case.f32(), case.per_piece(floats), case.per_piece(st.floats(0, width=32))
    out = case.out(np.int32)
    kernels.quantise(out, update, case.bounds, multipliers, clips)
    np.testing.assert_array_equal(out, reference.quantise(update, case.bounds, multipliers, clips))
    kernels.quantise(update.view(np.int32), update, case.bounds, multipliers, clips)
    np.testing.assert_array_equal(update.view(np.int32), out, "in place")


@each_clone
@given(case=cases())
def test_add_wraps_around(clone: str, case: Case) -> None:
    kernels.use_clone(clone)
    acc, x = case.i32(), case.i32()
    expected = reference.add(acc, x)
    kernels.add(acc, x)
    np.testing.assert_array_equal(acc, expected)


@each_clone
@given(case=cases(), data=st.data())
def test_add_bounded_adds_all_or_nothing(clone: str, case: Case, data: st.DataObject) -> None:
    kernels.use_clone(clone)
    acc, x = case.i32(), case.i32()
    count = len(case.bounds) - 1
    limit = st.one_of(st.sampled_from([0, 2**31 - 1, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1))
    limits = np.array(data.draw(st.lists(limit, min_size=count, max_size=count)), dtype=np.uint32)
    before, expected = acc.copy(), reference.beyond(x, case.bounds, limits)
    assert kernels.add_bounded(acc, x, case.bounds, limits) == expected
    np.testing.assert_array_equal(acc, before if expected else reference.add(before, x))


@each_clone
@given(case=cases(), ratio=floats)
def test_dequantise_multiplies_in_the_written_order(clone: str, case: Case, ratio: float) -> None:
    kernels.use_clone(clone)
    total, inverse_scales = case.i32(), case.per_piece(floats)
    out = case.out(np.float32)
    kernels.dequantise(out, total, case.bounds, inverse_scales, ratio)
    assert_same_bits(out, reference.dequantise(total, case.bounds, inverse_scales, np.float32(ratio)))
    kernels.dequantise(total.view(np.float32), total, case.bounds, inverse_scales, ratio)
    assert_same_bits(total.view(np.float32), out)


@each_clone
@given(case=cases(), lr=floats)
def test_the_plain_step_is_not_fused(clone: str, case: Case, lr: float) -> None:
    kernels.use_clone(clone)
    base, delta, out = case.f32(), case.f32(), case.out(np.float32)
    kernels.step_plain(out, base, delta, lr)
    assert_same_bits(out, reference.step_plain(base, delta, np.float32(lr)))
    kernels.step_plain(delta, base, delta, lr)
    assert_same_bits(delta, out)


@each_clone
@given(case=cases(), beta=finite, lr=finite)
def test_the_momentum_step_equals_its_formula(clone: str, case: Case, beta: float, lr: float) -> None:
    kernels.use_clone(clone)
    base, delta, m = case.f32(), case.f32(), case.f32()
    out, new_m = case.out(np.float32), case.out(np.float32)
    kernels.step_momentum(out, new_m, base, delta, m, beta, lr)
    expected, expected_m = reference.step_momentum(base, delta, m, np.float32(beta), np.float32(lr))
    assert_same_bits(out, expected)
    assert_same_bits(new_m, expected_m)
    kernels.step_momentum(delta, m, base, delta, m, beta, lr)
    assert_same_bits(delta, out)
    assert_same_bits(m, new_m)


@each_clone
@given(case=cases(), scalars=st.lists(finite, min_size=6, max_size=6))
def test_the_adam_step_equals_its_formula(clone: str, case: Case, scalars: list[float]) -> None:
    kernels.use_clone(clone)
    base, delta, m, v = case.f32(), case.f32(), case.f32(), case.f32()
    out, new_m, new_v = case.out(np.float32), case.out(np.float32), case.out(np.float32)
    kernels.step_adam(out, new_m, new_v, base, delta, m, v, *scalars)
    expected = reference.step_adam(base, delta, m, v, [np.float32(s) for s in scalars])
    for found, wanted in zip((out, new_m, new_v), expected, strict=True):
        assert_same_bits(found, wanted)
    kernels.step_adam(delta, m, v, base, delta, m, v, *scalars)
    for in_place, apart in zip((delta, m, v), (out, new_m, new_v), strict=True):
        assert_same_bits(in_place, apart)

"""Laws of fixed point: sums never leave int32, err little, do not depend on order, and no honest partial is refused."""

from __future__ import annotations

import math
import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pyfl import kernels
from pyfl.aggregation import fixedpoint
from pyfl.aggregation.fixedpoint import HEADROOM, LEAST_EXPONENT, ZERO
from tests.kernels import reference

peers = st.integers(1, 12)
scales = st.floats(-60, 60)


@st.composite
def rounds(draw: st.DrawFn) -> tuple[list[np.ndarray], list[int], np.ndarray]:
    """(each peer's update, its samples, the tensors' bounds), from tiny to huge and heavy-tailed."""
    count, sizes = draw(peers), draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    updates = []
    for _ in range(count):
        scale = 2.0 ** draw(scales)
        values = rng.standard_t(2, int(bounds[-1])) * scale
        updates.append(np.where(rng.random(values.size) < draw(st.sampled_from([0.0, 0.5, 1.0])), 0, values).astype(np.float32))
    samples = draw(st.lists(st.integers(1, 10**6), min_size=count, max_size=count))
    return updates, samples, bounds


def announced(updates: list[np.ndarray], bounds: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(kernels.exponents(update, bounds)[0].tolist()) for update in updates]


def added(parts: list[np.ndarray]) -> np.ndarray:
    """The sum in 64 bits."""
    return np.stack(parts).astype(np.int64).sum(axis=0)


Quantised = tuple[list[np.ndarray], tuple[int, ...], tuple[int, ...]]


def quantised(updates: list[np.ndarray], samples: list[int], bounds: np.ndarray) -> Quantised:
    """(each peer's integers, the tensors' exponents, their caps)."""
    exponents = announced(updates, bounds)
    caps = fixedpoint.caps(exponents, (0,) * (len(bounds) - 1))
    shares = [n / sum(samples) for n in samples]
    shared = fixedpoint.shared_exponents(exponents, shares, caps)
    parts = []
    for update, share in zip(updates, shares, strict=True):
        part = np.empty(update.size, np.int32)
        kernels.quantise(part, update, bounds, fixedpoint.multipliers(share, shared), fixedpoint.clips(caps))
        parts.append(part)
    return parts, shared, caps


@given(rounds())
def test_the_true_sum_fits_31_bits_and_a_sign(drawn: tuple) -> None:
    parts, _, _ = quantised(*drawn)
    total = added(parts)
    assert np.abs(total).max() <= 2**30 + len(parts)


@given(rounds(), st.randoms(use_true_random=False))
def test_the_sum_does_not_depend_on_the_order(drawn: tuple, order: random.Random) -> None:
    parts, _, _ = quantised(*drawn)
    first = np.zeros_like(parts[0])
    for part in parts:
        first = reference.add(first, part)
    order.shuffle(parts)
    again = np.zeros_like(first)
    for part in parts:
        kernels.add(again, part)
    assert again.tobytes() == first.tobytes()


@given(rounds())
def test_the_mean_errs_by_the_grid_and_no_more(drawn: tuple) -> None:
    updates, samples, bounds = drawn
    parts, shared, caps = quantised(updates, samples, bounds)
    total = added(parts).astype(np.int32)
    mean = np.empty(total.size, np.float32)
    kernels.dequantise(mean, total, bounds, fixedpoint.inverse_scales(shared), 1.0)
    clips = reference.by_value(fixedpoint.clips(caps), bounds).astype(np.float64)
    shares = np.array(samples, np.float64) / sum(samples)
    clipped = np.clip(np.stack(updates).astype(np.float64), -clips, clips)
    exact, magnitude = shares @ clipped, shares @ np.abs(clipped)
    grid = reference.by_value(np.ldexp(1.0, np.array(shared) - 30), bounds)
    assert (np.abs(mean - exact) <= grid * (len(updates) / 2 + 1) + magnitude * 2.0**-21).all()


@given(rounds(), st.data())
def test_no_honest_partial_is_beyond_its_limit(drawn: tuple, data: st.DataObject) -> None:
    updates, samples, bounds = drawn
    parts, shared, caps = quantised(updates, samples, bounds)
    chosen = sorted(data.draw(st.sets(st.integers(0, len(parts) - 1), min_size=1)))
    partial = added([parts[i] for i in chosen]).astype(np.int32)
    exponents = announced(updates, bounds)
    limits = fixedpoint.limits([exponents[i] for i in chosen], [samples[i] / sum(samples) for i in chosen], shared, caps)
    total = np.zeros_like(partial)
    assert kernels.add_bounded(total, partial, bounds, limits) == 0
    assert total.tobytes() == partial.tobytes()


@given(rounds())
def test_a_partial_of_more_than_was_announced_is_refused_whole(drawn: tuple) -> None:
    updates, samples, bounds = drawn
    parts, shared, caps = quantised(updates, samples, bounds)
    limits = fixedpoint.limits(announced(updates[:1], bounds), [samples[0] / sum(samples)], shared, caps)
    wrong = parts[0].copy()
    wrong[-1] = min(2**31 - 1, int(limits[-1]) + 1)
    total = np.zeros_like(wrong)
    if wrong[-1] > limits[-1]:
        assert kernels.add_bounded(total, wrong, bounds, limits) == 1
        assert not total.any()


@given(st.lists(st.integers(-80, 90), min_size=1, max_size=15), st.integers(-100, 100))
def test_one_peer_cannot_coarsen_the_grid_beyond_the_median_and_8(honest: list[int], weight: int) -> None:
    middle = sorted(honest)[(len(honest) - 1) // 2]
    cap = fixedpoint.caps([(e,) for e in honest], (weight,))[0]
    assert cap == min(127, max(middle + HEADROOM, weight, LEAST_EXPONENT))


def test_a_tensor_that_nobody_changed_stays_as_it_is() -> None:
    assert fixedpoint.shared_exponents([(ZERO,), (ZERO,)], [0.5, 0.5], (0,)) == (LEAST_EXPONENT,)


@given(st.integers(1, 2**40), st.integers(1, 2**40))
def test_the_ratio_travels_as_its_bits(first: int, counted: int) -> None:
    ratio = fixedpoint.ratio_from_bits(fixedpoint.ratio_bits(first, counted))
    assert math.isclose(ratio, first / counted, rel_tol=2.0**-24)
    assert fixedpoint.ratio_bits(first, first) == int(np.float32(1).view(np.uint32))

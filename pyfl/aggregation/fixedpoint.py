"""Fixed-point arithmetic of a round: float updates become integers modulo 2^32, whose sum does not depend on order.

Scalars only; the vectors are `pyfl.kernels`' work. Each tensor t has an exponent E_t with
sum_i p_i 2^(e_i,t) < 2^(E_t), so q_i = round(p_i d_i 2^(30 - E_t)) sums without leaving int32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LEAST_EXPONENT",
    "ZERO",
    "caps",
    "clips",
    "inverse_scales",
    "limits",
    "multipliers",
    "ratio_bits",
    "ratio_from_bits",
    "shared_exponents",
]

ZERO = -(2**31)  # what a tensor of zeros announces (as pyfl.kernels.exponents does)
LEAST_EXPONENT = -90  # below it 2^(30 - E) would leave float32's range
HEADROOM = 8  # how far above the median an announced exponent may be: one peer must not coarsen everyone's grid
FRACTION_BITS = 30
LARGEST_EXPONENT = 127

Exponents = Sequence[int]


def caps(announced: Sequence[Exponents], weights: Exponents) -> tuple[int, ...]:
    """The largest exponent that counts, per tensor: max(lower median of the announced + 8, the weights' own exponent)."""
    result: list[int] = []
    for tensor, weight in enumerate(weights):
        known = sorted(e[tensor] for e in announced if e[tensor] != ZERO)
        median = known[(len(known) - 1) // 2] + HEADROOM if known else LEAST_EXPONENT
        result.append(min(LARGEST_EXPONENT, max(median, weight, LEAST_EXPONENT)))
    return tuple(result)


def shared_exponents(announced: Sequence[Exponents], shares: Sequence[float], cap: Exponents) -> tuple[int, ...]:
    """E_t, frexp's exponent of sum_i p_i 2^(min(e_i,t, cap_t)), at least -90. `shares` are the p_i; their sum is at most 1."""
    result: list[int] = []
    for tensor, highest in enumerate(cap):
        total = math.fsum(
            share * math.ldexp(1.0, min(e[tensor], highest)) for e, share in zip(announced, shares, strict=True) if e[tensor] != ZERO
        )
        result.append(max(LEAST_EXPONENT, math.frexp(total)[1]) if total > 0 else LEAST_EXPONENT)
    return tuple(result)


def multipliers(share: float, exponents: Exponents) -> NDArray[np.float32]:
    """float32[T]: p_i 2^(30 - E_t), what a contributor multiplies its update by."""
    return np.array([share * math.ldexp(1.0, FRACTION_BITS - e) for e in exponents], dtype=np.float32)


def clips(cap: Exponents) -> NDArray[np.float32]:
    """float32[T]: the largest float32 below 2^cap, to which a contributor clips."""
    bound = [min(math.ldexp(1.0, e), float(np.finfo(np.float32).max)) for e in cap]
    return np.nextafter(np.array(bound, dtype=np.float32), np.float32(0))


def inverse_scales(exponents: Exponents) -> NDArray[np.float32]:
    """float32[T]: 2^(E_t - 30), powers of two and so exact."""
    return np.array([math.ldexp(1.0, e - FRACTION_BITS) for e in exponents], dtype=np.float32)


def limits(announced: Sequence[Exponents], shares: Sequence[float], exponents: Exponents, cap: Exponents) -> NDArray[np.uint32]:
    """uint32[T]: what no honest partial of these contributors exceeds in absolute value, roundings included."""
    matrix = np.array(announced, dtype=np.int64).reshape(len(announced), len(exponents))
    largest = np.ldexp(1.0, np.minimum(matrix, np.array(cap, dtype=np.int64)))
    largest[matrix == ZERO] = 0.0
    total = np.array(shares, dtype=np.float64) @ largest
    # float32's product errs by 2^-23 of the value, the rounding to an integer by one half each
    bound = np.ldexp(total, FRACTION_BITS - np.array(exponents, dtype=np.int64)) * (1 + 2.0**-22) + len(announced)
    return np.minimum(np.ceil(bound), 2**32 - 1).astype(np.uint32)


def ratio_bits(first_samples: int, counted_samples: int) -> int:
    """The float32 bits of (samples of the attempt's first contributors) / (samples of those who remain)."""
    return int(np.float32(first_samples / counted_samples).view(np.uint32))


def ratio_from_bits(bits: int) -> float:
    """The ratio again."""
    return float(np.uint32(bits).view(np.float32))

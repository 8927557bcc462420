"""A statistic of the whole swarm's data as a sum of integer vectors: one from each peer, added in any order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyfl.errors import DataError

__all__ = ["Ring", "Statistic", "combine", "of_integers", "to_integers"]

Ring = NDArray[np.int64]
"""Integers modulo 2^64: their sum depends neither on order nor on tree."""

WORD_BITS = 32


class Statistic(Protocol):
    """A value that all peers hold alike, so that their vectors mean the same.

    The law: `finish(combine([local(a), local(b)]))` equals `finish(local(a and b together))`, bit for bit.
    """

    @property
    def length(self) -> int:
        """Of the vector."""
        ...

    def local(self, data: Any) -> Ring:
        """This peer's summand, int64[length]. Raises `DataError` for data that the statistic is not made for."""
        ...

    def finish(self, total: Ring) -> Any:
        """What the sum over the peers says. Raises `DataError` when it says nothing, as of no data at all."""
        ...


def combine(vectors: Iterable[Ring]) -> Ring:
    """The sum modulo 2^64. Raises `DataError` for none, or for vectors of different lengths."""
    total: Ring | None = None
    for vector in vectors:
        if total is None:
            total = vector.astype(np.int64)
        elif total.shape != vector.shape:
            raise DataError(f"Vectors of {len(total)} and of {len(vector)} values cannot be added; the peers' statistics differ.")
        else:
            np.add(total, vector, out=total)
    if total is None:
        raise DataError("There is no peer's vector to combine; at least one is needed.")
    return total


def of_integers(values: Sequence[int], words: int) -> Ring:
    """Integers of any size as `words` digits of 32 bits, lowest first, two's complement. Digits of 2^31 peers add up without loss."""
    modulus = 1 << (WORD_BITS * words)
    digits = [(value % modulus) >> (WORD_BITS * place) & (1 << WORD_BITS) - 1 for value in values for place in range(words)]
    return np.array(digits, np.int64)


def to_integers(total: Ring, words: int) -> list[int]:
    """The sums of what `of_integers` was given, as long as each is below 2^(32 words - 1)."""
    modulus = 1 << (WORD_BITS * words)
    sums: list[int] = []
    for digits in total.reshape(-1, words).tolist():
        value = sum(digit << (WORD_BITS * place) for place, digit in enumerate(digits)) % modulus
        sums.append(value - modulus if value >= modulus // 2 else value)
    return sums

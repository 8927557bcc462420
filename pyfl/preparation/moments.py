"""Mean and standard deviation of each channel over all peers' data, exact to the last bit however the data is divided."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyfl.errors import DataError
from pyfl.preparation.statistic import Ring, of_integers, to_integers

__all__ = ["Moments", "Normalisation"]

# Squares of 24-bit numbers, 16,384 at a time, add up below 2^63; Python's integers take over from there.
LARGEST_BITS = 24
ROWS = 1 << 14
WORDS = 4  # 128 bits


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How many values each channel has, their mean and their standard deviation (of the whole, not of a sample)."""

    count: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, sum and sum of squares of each channel, the last axis of the data.

    Values are rounded to multiples of 2^-fraction_bits, so that their sums are whole numbers; they must be below
    2^(24 - fraction_bits) in magnitude: with the default below 256, which takes pixels as integers, as floats, and normalised.
    """

    channels: int
    fraction_bits: int = 16

    @property
    def length(self) -> int:
        """Of the vector."""
        return WORDS * (1 + 2 * self.channels)

    def local(self, data: NDArray[Any]) -> Ring:
        """Of an array [..., channels]. Raises `DataError` naming the first value that is out of range or not finite."""
        if data.ndim < 1 or data.shape[-1] != self.channels:
            raise DataError(f"The data has shape {data.shape}; expected {self.channels} channels as its last axis.")
        values = data.reshape(-1, self.channels)
        sums, squares = [0] * self.channels, [0] * self.channels
        for first in range(0, len(values), ROWS):
            fixed = self._fixed(values[first : first + ROWS], first)
            for channel in range(self.channels):
                sums[channel] += int(fixed[:, channel].sum())
                squares[channel] += int((fixed[:, channel] * fixed[:, channel]).sum())
        return of_integers([len(values), *sums, *squares], WORDS)

    def _fixed(self, values: NDArray[Any], first: int) -> NDArray[np.int64]:
        scaled = np.rint(values.astype(np.float64) * 2.0**self.fraction_bits)
        wrong = np.argwhere(~(np.abs(scaled) < 2.0**LARGEST_BITS))
        if len(wrong):
            row, channel = (int(place) for place in wrong[0])
            raise DataError(
                f"Value {first + row} of channel {channel} is {values[row, channel].item()}; expected finite numbers below "
                f"{2.0 ** (LARGEST_BITS - self.fraction_bits):g} in magnitude. Scale the data, or choose fewer fraction_bits."
            )
        return scaled.astype(np.int64)

    def finish(self, total: Ring) -> Normalisation:
        """Correctly rounded: the division is the first operation that is not exact. Raises `DataError` for no data."""
        count, *moments = to_integers(total, WORDS)
        if count < 1:
            raise DataError("The peers have no data between them, so there is no mean to normalise by.")
        unit = 1 << self.fraction_bits
        sums, squares = moments[: self.channels], moments[self.channels :]
        mean = tuple(float(Fraction(s, count * unit)) for s in sums)
        variance = (Fraction(count * q - s * s, count * count * unit * unit) for s, q in zip(sums, squares, strict=True))
        return Normalisation(count, mean, tuple(sqrt(v) for v in variance))

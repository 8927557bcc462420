"""Which words all peers' texts have and how often each, without a list of words that all know before.

An invertible Bloom lookup table (Goodrich and Mitzenmacher, 2011, arXiv:1101.2245) is linear: the table of the union is the sum of
the tables. Each word is added to three cells; a cell that holds one word only, however often, gives it away, is subtracted from
its other cells, and so on until all are empty.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pyfl.errors import DataError
from pyfl.preparation.statistic import Ring

__all__ = ["Vocabulary", "Words"]

CELLS_A_WORD = 3
# Peeling three cells a word succeeds with certainty, as tables grow, from 1.23 cells for each word on; small ones need more.
ROOM = 1.4
SPARE = 24
DIGIT_BYTES = 4
LARGEST_COUNT = 1 << 31  # a count times a digit of 32 bits stays below 2^63


@dataclass(frozen=True, slots=True)
class Words:
    """Words by falling frequency, then in order of their bytes; and how many occurrences of overlong words were left out."""

    counts: tuple[tuple[str, int], ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Up to `most` different words of up to `longest` bytes in UTF-8; each may occur up to 2^31 times in all."""

    most: int
    longest: int = 32

    @property
    def length(self) -> int:
        """Of the vector: cells of a count, a check and the word's bytes; and one number for what is left out."""
        return 1 + self._cells * self._width

    @property
    def _cells(self) -> int:
        third = -(-int(ROOM * self.most + SPARE) // CELLS_A_WORD)
        return third * CELLS_A_WORD

    @property
    def _width(self) -> int:
        return 2 + -(-self.longest // DIGIT_BYTES)

    def local(self, data: Iterable[str]) -> Ring:
        """Of words, one for each occurrence. Raises `DataError` for a word with a zero byte, which pads words, or one too frequent."""
        table = np.zeros(self.length, np.int64)
        cells = table[1:].reshape(self._cells, self._width)
        for word, count in Counter(data).items():
            encoded = word.encode()
            if len(encoded) > self.longest:
                table[0] += count
                continue
            if not encoded or 0 in encoded or count >= LARGEST_COUNT:
                raise DataError(
                    f"Word {word!r} occurs {count} times; expected words that are not empty and have no zero byte, "
                    f"fewer than {LARGEST_COUNT} of each."
                )
            content, places = self._entry(encoded)
            cells[places] += count * content
        return table

    def finish(self, total: Ring) -> Words:
        """Raises `DataError` when there are more words than the table has room for."""
        cells = total[1:].reshape(self._cells, self._width).copy()
        found: dict[str, int] = {}
        waiting = deque(range(self._cells))
        while waiting:
            cell = cells[waiting.popleft()]
            count = int(cell[0])
            encoded = self._only_word(cell)
            if encoded is None:
                continue
            content, places = self._entry(encoded)
            if not np.array_equal(cell, count * content):
                continue
            cells[places] -= count * content
            found[encoded.decode()] = count
            waiting.extend(places)
        if cells.any():
            raise DataError(
                f"The peers' texts have more than the {self.most} different words that there is room for ({len(found)} could be "
                "read). Choose a larger vocabulary, or count only words that a peer has more than once."
            )
        return Words(tuple(sorted(found.items(), key=lambda item: (-item[1], item[0].encode()))), int(total[0]))

    def _only_word(self, cell: Ring) -> bytes | None:
        """The word of a cell that holds one only; its check is for the caller to compare."""
        count = int(cell[0])
        if count <= 0:
            return None
        digits, rest = np.divmod(cell[2:], count)
        if rest.any() or (digits < 0).any() or (digits >> 32).any():
            return None
        encoded = digits.astype("<u4").tobytes().rstrip(b"\0")
        try:
            encoded.decode()
        except UnicodeDecodeError:
            return None
        return encoded if 0 < len(encoded) <= self.longest else None

    def _entry(self, encoded: bytes) -> tuple[Ring, list[int]]:
        """One occurrence as a cell holds it, and the three cells, one in each third of the table."""
        mixed = np.frombuffer(hashlib.blake2b(encoded, digest_size=32).digest(), "<u8")
        third = self._cells // CELLS_A_WORD
        places = [place * third + int(mixed[place]) % third for place in range(CELLS_A_WORD)]
        padded = encoded.ljust((self._width - 2) * DIGIT_BYTES, b"\0")
        content = np.empty(self._width, np.int64)
        content[0], content[1] = 1, int(mixed[3]) & 0xFFFFFFFF
        content[2:] = np.frombuffer(padded, "<u4")
        return content, places

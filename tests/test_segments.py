"""Laws of the cut: segments tile the vector and their pieces tile the tensors."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pyfl.wire.segments import SEGMENT_BYTES, cut, pieces


@given(st.integers(0, 300_000_000))
def test_segments_tile_the_vector(elements: int) -> None:
    segments = cut(elements)
    assert segments[0].start == 0
    assert segments[-1].stop == elements
    assert all(a.stop == b.start for a, b in pairwise(segments))
    assert all(s.size * 4 <= SEGMENT_BYTES + 64 for s in segments)


@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=30))
def test_pieces_tile_each_segment(sizes: list[int]) -> None:
    bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    covered = np.zeros(len(sizes), dtype=np.int64)
    for segment in cut(int(bounds[-1])):
        inner, first, last = pieces(bounds, segment)
        assert inner[0] == 0
        assert inner[-1] == segment.size
        assert len(inner) == last - first + 1
        covered[first:last] += np.diff(inner)
    assert covered.tolist() == sizes

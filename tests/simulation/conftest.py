"""Simulated runs have small models in many segments: what matters is how they are exchanged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pyfl.simulation.probe import SEGMENT_BYTES
from pyfl.wire import segments


@pytest.fixture(autouse=True)
def small_segments() -> Iterator[None]:
    """Segments of 16 values, so that a model of 400 has 25 of them."""
    with segments.smallest(SEGMENT_BYTES):
        yield

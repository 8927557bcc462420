"""Simulated runs have small models in many segments: what matters is how they are exchanged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pyfl.wire import segments

SMALLEST_BYTES = 64


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Segments of 16 values, so that a model of 400 has 25 of them."""
    monkeypatch.setattr(segments, "SMALLEST_BYTES", SMALLEST_BYTES)
    segments.cut.cache_clear()
    yield
    segments.cut.cache_clear()

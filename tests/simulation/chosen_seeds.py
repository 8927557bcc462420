"""Drawn runs to play again: the seeds that PYFL_SEEDS names, `7` or `7-20`."""

from __future__ import annotations

import os

import pytest

__all__ = ["chosen_seeds", "needs_chosen_seeds"]

NAME = "PYFL_SEEDS"

needs_chosen_seeds = pytest.mark.skipif(NAME not in os.environ, reason=f"{NAME} names no seeds of choice")


def chosen_seeds() -> range:
    """Those, the last included."""
    first, _, last = os.environ[NAME].partition("-")
    return range(int(first), int(last or first) + 1)

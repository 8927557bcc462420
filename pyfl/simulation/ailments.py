"""What is wrong with the program of one peer: its clock has jumped, its disk is full, its trainer hangs, its Python stands still."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["Ailments"]


@dataclass(slots=True)
class Ailments:
    """Of one peer's present life, but for the disk, which outlives it. `until_s` are virtual times."""

    clock_s: float = 0.0
    """How far its monotonic clock, as its driver reads it, is ahead."""
    hangs_until_s: float = 0.0
    """Its trainer gives no answer."""
    grinds_until_s: float = 0.0
    """Its trainer goes on until it is told to stop."""
    frozen_until_s: float = 0.0
    """Its driver takes in nothing; its overlay lives."""
    unread: deque[object] = field(default_factory=deque[object])
    """What the driver has not taken in meanwhile, in order."""

"""What `pyfl doctor` has to say of one thing that it looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Level"]

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`advice`: what to do about it; empty when nothing needs to be done."""

    check: str
    level: Level
    found: str
    advice: str = ""

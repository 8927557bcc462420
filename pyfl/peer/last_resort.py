"""A peer that has said that it goes is gone within seconds, also when a part of it does not end. For processes that are only a peer."""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType
from typing import Self

__all__ = ["LastResort"]

END_S = 15.0
"""Saying goodbye takes at most 2 s, each part of the end at most 4."""


class LastResort:
    """From `start` until the block is left there are `within_s` seconds; then the process ends with the given exit code, and says so."""

    def __init__(self, within_s: float = END_S) -> None:
        self._within_s = within_s
        self._timer: threading.Timer | None = None

    def start(self, code: int, why: str) -> None:
        """The peer is leaving."""
        self._timer = threading.Timer(self._within_s, self._end, (code, why))
        self._timer.daemon = True
        self._timer.start()

    def _end(self, code: int, why: str) -> None:
        said = f"{why} A part of this peer had not ended {self._within_s:g} s later: the process ends without it. Please report this."
        sys.stderr.write(f"error: {said}\n")
        sys.stderr.flush()
        os._exit(code or 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

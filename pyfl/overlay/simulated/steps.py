"""The steps of a process that can be counted, so that a fault strikes right before or after the n-th of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .process import Process

__all__ = ["ANYONE", "STEPS", "Crashed", "Steps"]

STEPS = ("event", "message", "transfer", "write", "stage")
"""An event handled; a message sent, a transfer posted, a ledger write begun, a result brought to disk."""
ANYONE = "anyone"


class Crashed(Exception):
    """The process ended in the middle of what it did; whoever ran its code goes on without it."""


class Steps:
    """Counts the steps of each peer, over all its lives, and makes what waits for one of them happen."""

    __slots__ = ("_counts", "_waiting")

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._waiting: dict[tuple[str, str, str, int], list[Callable[[Process], None]]] = {}

    def strike(self, moment: str, step: str, count: int, who: str, call: Callable[[Process], None]) -> None:
        """Call with the process `before` or `after` the `count`-th step of a peer by name, or of anyone, from now on."""
        count += self._counts.get((step, who), 0)
        self._waiting.setdefault((moment, step, who, count), []).append(call)

    def before(self, process: Process, step: str) -> None:
        """A step is about to happen. Raises `Crashed` if it does not come to that."""
        if self._waiting:
            for who in (process.name, ANYONE):
                self._counts[step, who] = self._counts.get((step, who), 0) + 1
            self._tell(process, "before", step)

    def after(self, process: Process, step: str) -> None:
        """A step has happened. Raises `Crashed` if it was the last."""
        if self._waiting:
            self._tell(process, "after", step)

    def _tell(self, process: Process, moment: str, step: str) -> None:
        for who in (process.name, ANYONE):
            for call in self._waiting.pop((moment, step, who, self._counts.get((step, who), 0)), ()):
                call(process)
        if process.ended:
            raise Crashed(f"{process.name} ended {moment} a step: {step}")

"""A discrete-event scheduler: a virtual clock, one generator, and a digest of everything that ran."""

from __future__ import annotations

import heapq
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Scheduler", "Timer"]


class Timer:
    """A call that waits for its virtual time; `cancel` makes it never happen."""

    __slots__ = ("call", "when_s")

    def __init__(self, when_s: float, call: Callable[[], None]) -> None:
        self.when_s = when_s
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Forget the call. Harmless when it has run already."""
        self.call = None

    @property
    def waiting(self) -> bool:
        """True until the call ran or was cancelled."""
        return self.call is not None


class Scheduler:
    """Runs calls in (time, order of scheduling): no threads and no wall clock, so a seed gives one trace."""

    __slots__ = ("_heap", "_running", "_sequence", "_trace", "now", "rng")

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.rng = random.Random(seed)  # noqa: S311 - a simulation must be repeatable
        self._heap: list[tuple[float, int, Timer]] = []
        self._sequence = 0
        self._trace = 0
        self._running = False

    def schedule(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Run `call` after `delay_s` virtual seconds. Raises ValueError for a negative delay."""
        if delay_s < 0.0:
            raise ValueError(f"a delay must not be negative, got {delay_s} s")
        timer = Timer(self.now + delay_s, call)
        self._sequence += 1
        heapq.heappush(self._heap, (timer.when_s, self._sequence, timer))
        return timer

    def mix(self, a: int, b: int) -> None:
        """Fold two numbers into the trace's digest."""
        # The hash of a tuple of numbers does not depend on PYTHONHASHSEED, which that of str and bytes does.
        self._trace = hash((self._trace, a, b, self.now))

    @property
    def trace_digest(self) -> str:
        """16 hexadecimal characters that name everything delivered so far and when."""
        return f"{self._trace & 0xFFFFFFFFFFFFFFFF:016x}"

    def run(self, until: float | None = None, stop: Callable[[], bool] | None = None) -> bool:
        """Process what is due until `stop()` is true, `until` is reached or nothing waits; True if `stop` ended it.

        With `until` the clock stands there afterwards unless `stop` ended the run.
        """
        if self._running:
            raise RuntimeError("run was called from inside an event; schedule a call instead")
        self._running = True
        heap = self._heap
        try:
            if stop is not None and stop():
                return True
            while heap:
                when, sequence, timer = heap[0]
                if until is not None and when > until:
                    break
                heapq.heappop(heap)
                call = timer.call
                if call is None:
                    continue
                timer.call = None
                self.now = when
                self._trace = hash((self._trace, sequence, when))
                call()
                if stop is not None and stop():
                    return True
            if until is not None and until > self.now:
                self.now = until
            return False
        finally:
            self._running = False

    @property
    def running(self) -> bool:
        """True inside `run`."""
        return self._running

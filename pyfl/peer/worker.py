"""Where a peer's long work is done, one job after another: in a thread of its own, or in the thread of whoever calls."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from pyfl.errors import PyflError
from pyfl.overlay.protocol import Overlay
from pyfl.rounds.actions import Exit
from pyfl.rounds.machine import Input

__all__ = ["CallerWorker", "PeerWorker", "ThreadWorker"]

Job = Callable[[], Input | None]


class PeerWorker(Protocol):
    """A worker as a peer's loop uses it: jobs in, results out, closed at the end."""

    def submit(self, job: Job) -> None:
        """Queue a job; from any thread."""
        ...

    def results(self) -> list[Input]:
        """What has been done since the last call."""
        ...

    def close(self) -> None:
        """End after the job at hand."""
        ...


class CallerWorker:
    """Jobs wait until a thread calls `work`: user code runs where the user called, with its tracebacks, debugger and Ctrl-C."""

    def __init__(self, net: Overlay) -> None:
        self._net = net
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._results: deque[Input] = deque()
        self.failure: Exception | None = None
        """What a job raised."""
        self._done = False

    def submit(self, job: Job) -> None:
        """Queue a job."""
        self._jobs.put(job)

    def results(self) -> list[Input]:
        """What has been done since the last call."""
        done: list[Input] = []
        while self._results:
            done.append(self._results.popleft())
        return done

    def work(self) -> None:
        """Do jobs in this thread until `close`. A job that raises ends the peer; its exception is kept in `failure`."""
        while (job := self._jobs.get()) is not None:
            if self._done or self.failure is not None:
                continue
            try:
                result = job()
            except Exception as error:  # noqa: BLE001 - user code: raised again in the caller's thread once the swarm is left
                self.failure = error
                result = Exit(1, f"Training or evaluation failed: {error!r}")
            if result is None:
                continue
            self._results.append(result)
            try:
                self._net.wake()
            except PyflError:  # the overlay is closed: nobody waits for results any more
                return

    def drop(self) -> None:
        """Do no more of the jobs that wait, or come until `close`: this peer is about to leave."""
        self._done = True

    def close(self) -> None:
        """Have `work` return after the job at hand; may be called again."""
        self._jobs.put(None)


class ThreadWorker:
    """Runs jobs in one thread of its own and wakes the overlay's reader when a result is there."""

    def __init__(self, net: Overlay) -> None:
        self._net = net
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._results: deque[Input] = deque()
        # A daemon, since user code that never ends must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="pyfl-trainer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job."""
        self._jobs.put(job)

    def results(self) -> list[Input]:
        """What has been done since the last call."""
        done: list[Input] = []
        while self._results:
            done.append(self._results.popleft())
        return done

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                result = job()
            except Exception:  # noqa: BLE001 - user code: its error ends this peer and is told whole
                result = Exit(1, f"Training or evaluation failed: {traceback.format_exc()}")
            if result is None:
                continue
            self._results.append(result)
            try:
                self._net.wake()
            except PyflError:  # the overlay is closed: nobody waits for results any more
                return

    def close(self, timeout_s: float = 2.0) -> None:
        """End after the job at hand; a job that takes longer is left behind."""
        self._jobs.put(None)
        self._thread.join(timeout_s)

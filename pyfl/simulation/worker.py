"""A peer's worker in virtual time: each job is done at once, and its result handed over after the time that it would have taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pyfl.overlay.simulated import SimulatedOverlay
from pyfl.rounds.machine import Input
from pyfl.simulation.ailments import Ailments
from pyfl.simulation.probe import StillTraining

__all__ = ["SimulatedWorker"]

ASK_AGAIN_S = 0.25
Job = Callable[[], Input | None]


class SimulatedWorker:
    """One job after another. A trainer that hangs keeps the worker busy until it hangs no longer."""

    def __init__(
        self,
        overlay: SimulatedOverlay,
        ailments: Ailments,
        work_s: Callable[[], float],
        done: Callable[[Input], None],
        *,
        early: bool = False,
    ) -> None:
        """`work_s()`: seconds that a job takes; `done`: is given each result. `early`: a job is done when it begins, not when it ends."""
        self._early = early
        self._overlay, self._ailments, self._work_s, self._done = overlay, ailments, work_s, done
        self._jobs: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Do it when those before it are done."""
        self._jobs.append(job)
        if len(self._jobs) == 1:
            self._begin()

    def _begin(self) -> None:
        takes_s = self._work_s()
        if self._early:
            job = self._jobs[0]
            try:
                result = job()
                self._jobs[0] = lambda: result
            except StillTraining:
                pass  # asked again when it would have ended
        self._overlay.schedule(takes_s, self._run)

    def _run(self) -> None:
        hangs_s = self._ailments.hangs_until_s - self._overlay.now
        if hangs_s > 0.0:
            if hangs_s != float("inf"):
                self._overlay.schedule(hangs_s, self._run)
            return
        try:
            result = self._jobs[0]()
        except StillTraining:
            self._overlay.schedule(ASK_AGAIN_S, self._run)
            return
        self._jobs.popleft()
        if self._jobs:
            self._begin()
        if result is not None:
            self._done(result)

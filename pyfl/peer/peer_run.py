"""One run of a `pyfl.Peer`, as the thread that trains sees it: work until it ends, then its result or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from pyfl.errors import MajorityLost, PeerNotReady, PyflError, RefusedBySwarm, RunFailed, SwarmUnreachable
from pyfl.events import ModelInstalled, ObservedEvent, RoundCommitted, TrainingEnded
from pyfl.peer.process import MAJORITY_LOST, REFUSED, UNREACHABLE, Ending, Process
from pyfl.peer.run_result import CommittedRound, KeptModel, RunResult
from pyfl.peer.worker import CallerWorker
from pyfl.preparation.plan import Measured, give, statistics_of
from pyfl.rounds.early_stopping import Best, follow
from pyfl.rounds.history import Committed
from pyfl.training.layout import Layout
from pyfl.training.trainer import Evaluation, Flat, FlatTrainer, RoundInfo, TrainOutcome, read_only
from pyfl.wire import digests

__all__ = ["OnRound", "PeerRun", "error_of"]

OnRound = Callable[[CommittedRound, Flat], bool | None]
"""Called with each committed round and its weights (float32[P], read-only, valid until it returns) where training is done. True: leave."""

_ERRORS: dict[int, type[PyflError]] = {UNREACHABLE: SwarmUnreachable, MAJORITY_LOST: MajorityLost, REFUSED: RefusedBySwarm}


def error_of(ending: Ending) -> PyflError | None:
    """The error that an ending is; None for a clean one."""
    return _ERRORS.get(ending.code, RunFailed)(ending.why) if ending.code else None


class TrainerFailed(Exception):
    """Carries a `PyflError` of the program's trainer past the driver, which would only sit the round out: the program is to be told."""


class PeerRun:
    """Made by `Peer.begin`. `work` belongs to one thread, `observe` to the peer's loop, the rest to anyone."""

    def __init__(
        self, process: Process, worker: CallerWorker, trainer: FlatTrainer, on_round: OnRound | None, *, keep_best: bool = False
    ) -> None:
        """`keep_best`: copy the weights of the best round that this peer sees: memory for one more model."""
        self._keeps = keep_best
        self._best: Best | None = None
        self._kept: KeptModel | None = None
        self._process, self._worker, self._on_round = process, worker, on_round
        self.trainer = _Telling(trainer)
        self.ending: Ending | None = None
        """How it ended, once it has."""
        self.crash: BaseException | None = None
        """What the peer's loop raised: a defect, or the overlay's end."""
        self.rounds: list[CommittedRound] = []
        self._seen: dict[int, RoundCommitted] = {}
        self.trained: dict[int, TrainingEnded] = {}
        """What this peer's training gave, by round."""

    # ---- the loop's thread

    def observe(self, event: ObservedEvent) -> None:
        """Take one of the peer's events in."""
        match event:
            case RoundCommitted():
                self._seen[event.round] = event
            case TrainingEnded():
                self.trained[event.round] = event
            case ModelInstalled() if event.round > 0:
                self._installed(event)
            case _:
                pass

    def _installed(self, event: ModelInstalled) -> None:
        memory = self._process.driver.buffers
        if memory is None:
            raise AssertionError("a model was installed where there is no memory for one")
        committed = self._committed(event)
        self.rounds.append(committed)
        if self._keeps and self._is_best(committed):
            self._worker.submit(partial(self._keep, committed, read_only(memory.base)))
        if self._on_round is not None:
            self._worker.submit(partial(self._tell, committed, read_only(memory.base)))

    def _is_best(self, committed: CommittedRound) -> bool:
        run = self._process.driver.machine.view.run
        entry = Committed(
            committed.number, committed.epoch, committed.digest, "", committed.contributors, committed.void, committed.accuracy,
            committed.loss, scored=committed.scored,
        )  # fmt: skip
        self._best = follow(self._best, entry, run.early_stopping if run else None)
        return self._best is not None and self._best.round == committed.number

    def _committed(self, event: ModelInstalled) -> CommittedRound:
        me = self._process.net.me
        found: RoundCommitted | Committed | None = self._seen.pop(event.round, None)
        if found is None:
            history = self._process.driver.machine.view.history.rounds
            found = next((known for known in history if known.round == event.round), None)
        if found is None:  # fetched as what the next round starts from, before the history came
            return CommittedRound(event.round, 0, event.digest, (), False, False, None, None, 0.0, 0.0)
        return CommittedRound(
            event.round, found.epoch, event.digest, found.contributors, me in found.contributors, found.void, found.accuracy, found.loss,
            found.train_s, found.reduce_s, found.scored,
        )  # fmt: skip

    # ---- the thread that trains

    def _keep(self, committed: CommittedRound, weights: Flat) -> None:
        flat = np.copy(weights)
        if digests.combine(digests.of_vector(flat)) == committed.digest:  # else this thread was so late that memory has moved on
            self._kept = KeptModel(committed.number, flat)

    def _tell(self, committed: CommittedRound, weights: Flat) -> None:
        if self._on_round is not None and self._on_round(committed, weights):
            self._worker.drop()
            self.leave("the program that this peer trains for has had enough")

    def work(self) -> None:
        """Train, evaluate and follow the rounds in this thread until the run has ended."""
        try:
            self._worker.work()
        except BaseException as error:  # Ctrl-C, or SystemExit in user code: leave, then let it pass
            self.leave(f"interrupted by {type(error).__name__}")
            raise

    def leave(self, why: str) -> None:
        """Have the peer leave the swarm; the run then ends."""
        self._process.end(Ending(0, why))

    def result(self) -> RunResult:
        """The run's result. Raises what the program's own code raised, or the `PyflError` that says why the run ended early."""
        failure = self._worker.failure
        if isinstance(failure, TrainerFailed) and failure.__cause__ is not None:
            raise failure.__cause__
        if failure is not None:
            raise failure
        if self.crash is not None:
            raise self.crash
        error = error_of(self.ending) if self.ending else PeerNotReady("The run has not ended yet; call work() first.")
        if error is not None:
            raise error
        memory = self._process.driver.buffers
        if memory is None:
            raise RunFailed(f"This peer left before it had a model: {self.ending and self.ending.why}.")
        best = self._process.driver.machine.view.history.best
        return RunResult(memory.layout, np.copy(memory.base), tuple(self.rounds), best, self._kept)


class _Telling:
    """A trainer whose `PyflError`s end the run instead of making this peer sit rounds out."""

    def __init__(self, trainer: FlatTrainer) -> None:
        self._trainer = trainer

    @property
    def layout(self) -> Layout:
        return self._trainer.layout

    @property
    def label_counts(self) -> Mapping[int, int]:
        return getattr(self._trainer, "label_counts", {})

    def initial(self, out: Flat) -> None:
        self._trainer.initial(out)

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:
        try:
            return self._trainer.train(base, out, info, stop)
        except PyflError as error:
            raise TrainerFailed(str(error)) from error

    def statistics(self) -> Measured:
        return statistics_of(self._trainer)

    def prepared(self, results: Mapping[str, Any]) -> None:
        give(self._trainer, results)

    def evaluate(self, weights: Flat, share: tuple[int, int]) -> Evaluation | None:
        return self._trainer.evaluate(weights, share)

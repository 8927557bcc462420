"""Runs a round machine over an overlay: events in, actions out, segments through the kernels.

The same driver serves the real overlay and the simulated one; what differs is the `Worker`, which trains in a thread or in
simulated time, and who calls `handle` and `tick`. One caller at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec
import numpy as np

from pyfl import events
from pyfl.checkpoints import BestMark, CheckpointStore, Saved
from pyfl.errors import NoSuchPeer, NotTheLeader, OverlayFull, PyflError
from pyfl.overlay import protocol as overlay
from pyfl.preparation.plan import asked_of, check_same, give, numbers, results, statistics_of, summand
from pyfl.preparation.wire import from_wire
from pyfl.rounds import messages
from pyfl.rounds.actions import (
    Action,
    Add,
    Added,
    Adopt,
    Announce,
    Barrier,
    BeginReduce,
    Build,
    Built,
    CancelTransfers,
    CheckPart,
    Evaluate,
    Evaluated,
    Exit,
    Fill,
    Finish,
    Install,
    Observe,
    Offer,
    PartChecked,
    Pin,
    PostReceive,
    PostSend,
    Prepare,
    Propose,
    ResultReady,
    Say,
    Stage,
    Staged,
    StartTraining,
    StopTraining,
    Tick,
    Trained,
    TransferEnded,
)  # fmt: skip
from pyfl.rounds.buffers import Buffers
from pyfl.rounds.machine import Input, Machine
from pyfl.rounds.messages import Held, Ready, Score
from pyfl.rounds.records import PREPARATION, ControlRecord, RunRecord
from pyfl.training.trainer import Flat, FlatTrainer, RoundInfo, read_only

__all__ = ["Driver", "Worker"]

TAG = b"pyfl"


class Worker(Protocol):
    """Does the long work away from the driver's thread, one job after another, and hands each result to `Driver.handle`."""

    def submit(self, job: Callable[[], Input | None]) -> None:
        """Run the job; its result, unless None, becomes an input of the driver that owns this worker."""
        ...


class Builder(Protocol):
    """Makes the trainer for a run; raises a `PyflError` when it cannot."""

    def __call__(self, run: RunRecord, /) -> FlatTrainer:
        """Build for the run's app and options."""
        ...


@dataclass(slots=True)
class _Transfer:
    action: PostSend | PostReceive
    sending: bool


class Driver:
    """One peer: its overlay, its machine, its memory, its trainer."""

    def __init__(
        self,
        net: overlay.Overlay,
        worker: Worker,
        build: Builder,
        clock: Callable[[], float],
        observe: Callable[[events.ObservedEvent], None],
        instance: int,
        checkpoints: CheckpointStore | None = None,
        *,
        durable: bool = False,
        stay: bool = False,
        give_up_s: float = 0.0,
    ) -> None:
        """`durable`: a voter's result reaches the disk before it counts; needs `checkpoints`. `stay`, `give_up_s`: see `Machine`."""
        self.net = net
        self.machine = Machine(net.me, instance, durable=durable and checkpoints is not None, stay=stay, give_up_s=give_up_s)
        self._checkpoints = checkpoints
        self.exit: Exit | None = None
        self.buffers: Buffers | None = None
        self._worker, self._build, self._clock, self._observe = worker, build, clock, observe
        self._trainer: FlatTrainer | None = None
        self._proposed = ""
        self.statistics = b""
        """The sum of what the run prepares, once it is known here: little-endian int64."""
        self.bytes_lent = 0
        """Of models, in segments that others fetched from here and got whole."""
        self._transfers: dict[int, _Transfer] = {}
        self._requests: dict[int, int] = {}
        self._stop_training = -1
        self._inputs: deque[Input] = deque()
        self._stepping = False

    @property
    def trainer(self) -> FlatTrainer | None:
        """What trains here, once it is built."""
        return self._trainer

    # ---- inputs

    def start(self, proposal: RunRecord | None = None, trainer: FlatTrainer | None = None) -> None:
        """Take in who is there already. A founder proposes its run; its trainer is built already."""
        for peer in self.net.peers():
            self.handle(overlay.PeerUp(*(getattr(peer, name) for name in peer.__struct_fields__)))
        self.begin(proposal, trainer)

    def begin(self, proposal: RunRecord | None = None, trainer: FlatTrainer | None = None) -> None:
        """Give the trainer, and a founder its run, to a driver that may have been started without."""
        self._trainer = trainer or self._trainer
        if proposal is not None:
            self._proposed = proposal.run
            self._perform(self.machine.propose(proposal))

    def handle(self, event: overlay.Event | Input) -> None:
        """Take in one event of the overlay or one result of the worker."""
        translated = self._translate(event)
        if translated is not None:
            self._step(translated)

    def tick(self) -> None:
        """Time passed; call it four times a second."""
        self._step(Tick())

    def control(self, control: ControlRecord) -> None:
        """Write an operator's wish to the ledger."""
        self._perform([self.machine.control(control)])

    def _step(self, happened: Input) -> None:
        self._inputs.append(happened)
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._inputs:
                self._perform(self.machine.step(self._inputs.popleft(), self._clock()))
        finally:
            self._stepping = False

    def _translate(self, event: overlay.Event | Input) -> Input | None:
        match event:
            case overlay.Sent() | overlay.Received():
                transfer = self._transfers.pop(event.transfer, None)
                if transfer is None:
                    return None
                action = transfer.action
                if transfer.sending and event.ok and action.tag.kind == "p":
                    self.bytes_lent += event.bytes
                return TransferEnded(action.peer, action.tag, action.place, transfer.sending, event.ok, event.error)
            case overlay.WriteDone():
                name = self._requests.pop(event.request, 0)
                return msgspec.structs.replace(event, request=name) if name else None
            case overlay.BarrierDone():
                name = self._requests.pop(event.request, 0)
                return msgspec.structs.replace(event, request=name) if name else None
            case overlay.Wake():
                return None
            case Trained():
                return self._with_residual(event)
            case _:
                return event

    # ---- actions

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            answer = self._do(action)
            if answer is not None:  # an input like any other: taken in when the actions before it are done
                self._step(answer)

    def _do(self, action: Action) -> Input | None:
        match action:
            case PostReceive():
                self._post(action, sending=False)
            case PostSend():
                self._post(action, sending=True)
            case Fill():
                self._memory.fill(action.segment)
            case Add():
                return self._add(action)
            case Finish():
                return self._finish(action)
            case Adopt():
                self._memory.adopt(action.segment)
                return self._sealed() if action.last else None
            case BeginReduce():
                self._memory.begin(action.record, self.net.me)
            case CancelTransfers():
                self._cancel(action.kinds)
            case Say():
                self._say(action)
            case Observe():
                self._observe(action.event)
            case Propose():
                return self._propose(action)
            case Barrier():
                return self._barrier(action)
            case Announce():
                self.net.announce(b"", action.eligible)
            case Build():
                self._worker.submit(lambda: self._built(action.run))
            case StartTraining():
                self._train(action)
            case StopTraining():
                self._stop_training = max(self._stop_training, action.round)
            case Stage():
                self._stage(action)
            case Evaluate():
                self._evaluate(action)
            case CheckPart():
                return PartChecked(action.part, self._memory.check(action.part, action.digest), action.peer)
            case Offer():
                vectors = self._memory.offer(action.buffer)
                self._say(Say(action.peer, messages.PullOffer(action.pull, True, vectors)))
            case Install():
                self._install(action)
            case Pin():
                self._pin(action)
            case Prepare():
                self._prepare()
            case Exit():
                self.exit = self.exit or action
        return None

    @property
    def _memory(self) -> Buffers:
        if self.buffers is None:
            raise AssertionError("the machine asked for arithmetic before the model was built")
        return self.buffers

    def _propose(self, action: Propose) -> Input | None:
        try:
            self._requests[self.net.write(action.writes)] = action.name
        except NotTheLeader as error:
            return overlay.WriteDone(action.name, ok=False, error=str(error))
        return None

    def _barrier(self, action: Barrier) -> Input | None:
        try:
            self._requests[self.net.barrier()] = action.name
        except NotTheLeader as error:
            return overlay.BarrierDone(action.name, ok=False, error=str(error))
        return None

    def _say(self, say: Say) -> None:
        try:
            self.net.message(say.peer, TAG, messages.encode(say.message))
        except (NoSuchPeer, OverlayFull) as error:  # at most once: whoever needs it says it again
            self._observe(events.FaultSeen("message", f"To {say.peer}: {error}"))

    # ---- transfers

    def _post(self, action: PostSend | PostReceive, *, sending: bool) -> None:
        tag = action.tag.encode(self._run.run)
        try:
            if isinstance(action, PostSend):
                number = self.net.send(action.peer, tag, self._memory.view(action.place))
            else:
                number = self.net.receive(action.peer, tag, self._memory.view(action.place), action.timeout_s)
        except (NoSuchPeer, OverlayFull) as error:
            why = "no_peer" if isinstance(error, NoSuchPeer) else "full"
            self._step(TransferEnded(action.peer, action.tag, action.place, sending, ok=False, error=why))
            return
        self._transfers[number] = _Transfer(action, sending)

    def _cancel(self, kinds: str) -> None:
        """End the transfers of a reduce ("udf") or a pull ("p"); what is served from the base goes on."""
        for number, transfer in list(self._transfers.items()):
            if transfer.action.tag.kind in kinds and transfer.action.place.buffer != "base":
                self._end(number)
        if "p" in kinds and self.buffers is not None:
            self.buffers.begin_pull()

    def _end(self, number: int) -> None:
        self.net.cancel(number)
        self._transfers.pop(number, None)

    def _install(self, action: Install) -> None:
        for number, transfer in list(self._transfers.items()):
            if transfer.action.place.buffer != "scratch":
                self._end(number)
        memory = self._memory
        memory.install()
        store = self._checkpoints
        if store is None:
            return
        base, state = memory.base, memory.state
        saved = self._saved(action.round, action.record.epoch, action.model, action.state, state)
        self._keep(lambda: store.commit(saved, base, state), "The peer goes on without this checkpoint.")

    def _pin(self, action: Pin) -> None:
        store, best = self._checkpoints, action.best
        if store is not None:
            mark = BestMark(self._run.run, best.round, best.model, best.measure, best.value)
            self._keep(lambda: store.pin(mark), "The peer goes on; its best checkpoint may not be kept.")

    def _keep(self, write: Callable[[], object], otherwise: str) -> None:
        """In the worker: what the rounds do not need, so that a failure is told and no more."""

        def job() -> Input | None:
            try:
                write()
            except PyflError as error:
                return overlay.Fault("checkpoint", f"{error} {otherwise}")
            return None

        self._worker.submit(job)

    def _stage(self, action: Stage) -> None:
        store, memory = self._checkpoints, self._memory
        if store is None:
            raise AssertionError("the machine stages results, and there is nowhere to stage them")
        result, state = memory.result, memory.next_state
        saved = self._saved(action.round, action.epoch, action.model, action.state, state)

        def job() -> Input | None:
            try:
                staged = store.stage(saved, result, state)
            except PyflError as error:
                return Exit(error.exit_code, f"{error} This peer votes, and a result that is not durable must not count.")
            return Staged(action.round, action.epoch) if staged else None

        self._worker.submit(job)

    def _saved(self, number: int, epoch: int, model: str, state: str, vectors: list[Flat]) -> Saved:
        run = self._run
        statistics = from_wire(vectors[-1].view(np.int32)).tobytes() if run.prepare else b""
        return Saved(run.run, run.layout.digest, number, epoch, model, state, len(vectors), run.app, run.options, statistics)

    # ---- arithmetic

    @property
    def _run(self) -> RunRecord:
        run = self.machine.view.run
        if run is None:
            raise AssertionError("the machine acts on a run that is not known")
        return run

    def _add(self, action: Add) -> Input:
        beyond = self._memory.add(action.segment, action.scratch, action.contributors)
        why = beyond and (
            f"{beyond} values of segment {action.segment} from {action.peer} are beyond what its {len(action.contributors)} "
            "contributors announced; the partial was not added."
        )
        return Added(*self._memory.epoch, action.segment, action.scratch, action.peer, why or "")

    def _finish(self, action: Finish) -> Input | None:
        self._memory.finish(action.segment)
        return self._sealed() if action.last else None

    def _sealed(self) -> Input:
        return ResultReady(*self._memory.epoch, *self._memory.seal_result())

    # ---- the trainer

    def _built(self, run: RunRecord) -> Input:
        """In the worker: the model, its memory and the digests of its initial weights."""
        try:
            ours = self._trainer if self._proposed in ("", run.run) else None  # another founder may have been the quicker
            trainer = ours or self._build(run)
            self._trainer = trainer
            check_same(asked_of(trainer), run.prepare)
            buffers = Buffers(trainer.layout, run.strategy, numbers(run.prepare))
            saved, staged = self._restore(run, buffers)
            if saved is None:  # a checkpoint that was tried and set aside may have left anything there
                trainer.initial(buffers.base)
                for vector in buffers.state:
                    vector.fill(0.0)
            model, state = buffers.seal_base()
        except PyflError as error:
            return Exit(error.exit_code, str(error))
        self.buffers = buffers
        held = staged and Held(staged.round, staged.epoch, staged.model, staged.state)
        return Built(
            trainer.layout, model, state, len(buffers.segments), len(buffers.state_segments), buffers.step_vectors,
            len(buffers.scratch), saved.round if saved else run.first, held, len(buffers.sums.segments) if buffers.sums else 0,
        )  # fmt: skip

    def _restore(self, run: RunRecord, buffers: Buffers) -> tuple[Saved | None, Saved | None]:
        """(the newest checkpoint, now the base; the result staged after it, now the result)."""
        store, layout = self._checkpoints, buffers.layout.digest
        if store is None:
            return None, None
        saved = store.newest(run.run, layout, buffers.base, buffers.state)
        staged = store.staged(run.run, layout, buffers.result, buffers.next_state)
        if staged is None:
            return saved, None
        model, state = buffers.seal_restored_result()
        # not only the very next: a void round leaves no checkpoint
        newer = staged.round > (saved.round if saved else run.first) and (model, state) == (staged.model, staged.state)
        return saved, staged if newer else None

    def _train(self, action: StartTraining) -> None:
        if action.round == PREPARATION:
            self._sum_up()
            return
        memory, run, trainer = self._memory, self._run, self._trainer
        if trainer is None:
            raise AssertionError("training before the model was built")
        if action.residual:
            memory.set_aside(action.residual)
        base, out = read_only(memory.base), memory.contribution
        until = self._clock() + 0.9 * action.deadline_s if action.deadline_s else None
        info = RoundInfo(action.round, run.rounds, action.attempt - 1, run.seed, until, self.net.me)

        def stop() -> bool:
            return self._stop_training >= action.round or (until is not None and self._clock() >= until)

        def job() -> Input:
            if self._stop_training >= action.round:
                return Trained(action.round, None, "the round was over before training began")
            began = self._clock()
            try:
                outcome = trainer.train(base, out, info, stop)
            except PyflError as error:
                return Trained(action.round, None, str(error))
            if outcome.samples < 1:
                return Trained(action.round, None, "the deadline came before the first batch was done")
            with np.errstate(over="ignore", invalid="ignore"):  # `announce` finds what is not finite
                np.subtract(out, base, out=out)
            update, weights, finite = memory.announce()
            loss = outcome.metrics.get("loss")
            took = self._clock() - began
            return Trained(action.round, Ready(action.round, outcome.samples, update, weights, finite, took, loss))

        self._worker.submit(job)

    def _with_residual(self, trained: Trained) -> Trained:
        """Add the update that waits for this one, in the driver's thread: until now it could have lost its memory to a reduce or a pull."""
        memory, ready = self.buffers, trained.ready
        if memory is None or not memory.aside or trained.round == PREPARATION:
            return trained
        if ready is None or not ready.finite:
            return replace(trained, residual=memory.bring_back())
        number = memory.add_aside()
        exponents, weights, finite = memory.announce()
        ready = msgspec.structs.replace(ready, exponents=exponents, weight_exponents=weights, finite=finite, residual=number)
        return replace(trained, ready=ready)

    def _sum_up(self) -> None:
        """This peer's part of the statistics; data that does not suit them ends this peer, and the others go on."""
        sums, trainer = self._memory.sums, self._trainer
        if sums is None:
            raise AssertionError("a preparation in a run that asks for no statistics")

        def job() -> Input:
            began = self._clock()
            try:
                np.copyto(sums.own, summand(trainer))
            except PyflError as error:
                return Exit(error.exit_code, str(error))
            return Trained(PREPARATION, Ready(PREPARATION, 1, (), (), finite=True, train_s=self._clock() - began))

        self._worker.submit(job)

    def _prepare(self) -> None:
        trainer, total = self._trainer, from_wire(self._memory.statistics)
        self.statistics = total.tobytes()

        def job() -> Input | None:
            try:
                found = results({name: statistic for name, (statistic, _) in statistics_of(trainer).items()}, total)
                give(trainer, found)
            except PyflError as error:
                return Exit(error.exit_code, str(error))
            return None

        self._worker.submit(job)

    def _evaluate(self, action: Evaluate) -> None:
        trainer, weights = self._trainer, read_only(self._memory.result)
        if trainer is None:
            raise AssertionError("evaluation before the model was built")

        def job() -> Input:
            found = trainer.evaluate(weights, action.share)
            score = found and Score(action.round, action.epoch, found.samples, float(found.loss_sum), found.correct)
            return Evaluated(score, action.round, action.epoch)

        self._worker.submit(job)

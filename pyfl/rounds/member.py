"""A machine's member role: train, take part in the reduce, hold, take the commit, fetch what it missed, serve what it holds.

It obeys records only. What it tells the coordinator is a report of its whole state, sent on every change and once a second.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from pyfl import events
from pyfl.rounds.actions import (
    Action,
    Added,
    Announce,
    BeginReduce,
    Built,
    CancelTransfers,
    Evaluate,
    Evaluated,
    Exit,
    Install,
    Observe,
    PartChecked,
    Prepare,
    ResultReady,
    Say,
    Stage,
    Staged,
    StartTraining,
    StopTraining,
    Trained,
    TransferEnded,
)  # fmt: skip
from pyfl.rounds.kept import kept_by, pack, same_sum
from pyfl.rounds.lender import Lender
from pyfl.rounds.member_waits import Standing, wait_of_member
from pyfl.rounds.messages import Accuse, Held, PullOffer, PullOpen, PullWant, Ready, Report, Score
from pyfl.rounds.pull import Pull
from pyfl.rounds.records import NOTHING, PREPARATION, RoundRecord
from pyfl.rounds.reduction import Reduction
from pyfl.rounds.residual import Residual
from pyfl.rounds.view import View
from pyfl.rounds.waits import Wait
from pyfl.wire.segments import cut

__all__ = ["Member"]

REPORT_S = 1.0
TELLS = 16  # times in a reduce that a peer says what it has finished
PULL_AGAIN_S = 1.0  # a pull that nobody could serve is not begun again sooner
LEAST_TRAINING = 0.1  # of the deadline: whoever begins late is given so much, as others may be late, too


@dataclass(slots=True)
class _Holding:
    """A committed model held here."""

    round: int = NOTHING
    model: str = ""
    state: str = ""


class Member:
    """One peer as a member of the swarm."""

    def __init__(self, view: View, instance: int) -> None:
        self._view, self._instance = view, instance
        self._sizes: Built | None = None
        self.have = _Holding()
        self._ready: Ready | None = None
        self._training: int = NOTHING
        """The round whose training has not ended, also when it is of no use any more."""
        self._spoiled = False
        self._residual = Residual(view)
        self._attempt = 0
        self.reduction: Reduction | None = None
        self._before: Reduction | None = None
        """The reduce that the epoch before had, while its finished segments are still in the result's memory."""
        self._counted = 0
        self._held: Held | None = None
        self._unsaid: Held | None = None
        self._score: Score | None = None
        self._result: tuple[int, int] | None = None
        self.pull: Pull | None = None
        self._pulls, self._pulled_at = 0, 0.0
        self._next_report = 0.0
        self._lender = Lender()
        self._prepared = False
        self._recovered = False
        self.left = False

    # ---- where this peer stands

    def report(self) -> Report:
        """The whole state, for the coordinator."""
        record = self._view.round
        progress = self.reduction.progress if self.reduction else self.pull.progress if self.pull else 0
        return Report(
            self._instance, self.have.round, record.number if record else NOTHING, record.epoch if record else 0, progress,
            self._ready, self._held, self._score, self._finished(record),
        )  # fmt: skip

    def _finished(self, record: RoundRecord | None) -> bytes:
        """What the record's reduce has finished here, and could be kept."""
        reduction = self.reduction
        if record is None or reduction is None or (reduction.record.number, reduction.record.epoch) != (record.number, record.epoch):
            return b""
        return pack(reduction.done)

    def _tell(self) -> list[Action]:
        self._next_report, self._counted = self._view.now + REPORT_S, self.reduction.count[0] if self.reduction else 0
        return [Say(self._view.leader, self.report())] if self._view.leader else []

    def wait(self) -> Wait:
        """What this peer waits for when the ledger can be reached; as to time it knows what the record says, and when that was seen."""
        pulls = self.pull.round if self.pull else NOTHING
        return wait_of_member(self._view, Standing(self.have.round, self._training, pulls, self.reduction))

    @property
    def occupied(self) -> bool:
        """A pull or a reduce of its own is under way, or there are too few peers for anything."""
        run = self._view.run
        short = run is not None and len(self._view.live()) < run.min_contributors
        return short or self.pull is not None or (self.reduction is not None and not self.reduction.finished)

    # ---- records

    def built(self, built: Built) -> list[Action]:
        """The model exists: the initial one is model 0 if it is the run's, a checkpoint's is what it was committed as."""
        run = self._view.run
        if run is None:
            raise AssertionError("a model was built without a run")
        self._sizes = built
        if built.held:
            self._held, self._result = built.held, (built.held.round, built.held.epoch)
        if built.round > run.first or built.model == run.model:
            self.have = _Holding(built.round, built.model, built.state)
            how = "checkpoint" if built.round > run.first else "initial"
            seen = Observe(events.ModelInstalled(built.round, built.model, how))
            return [Announce(True), seen, *self._prepare(), *self.follow(), *self._tell()]
        return [*self.follow(), *self._tell()]

    def follow(self) -> list[Action]:
        """Do what the round's record asks of this peer now."""
        record, run = self._view.round, self._view.run
        if record is None or run is None or self._view.me in self._view.control.kicked:
            return []
        number = record.number
        if self.reduction and (self.reduction.record.number, self.reduction.record.epoch) != (number, record.epoch):
            stale: list[Action] = self._abandon()
        else:
            stale = []
        stale += self._disown(record)
        match record.phase:
            case "train":
                return stale + (self._train(record) if self.have.round == number - 1 else self._catch_up(number - 1, record))
            case "reduce" if number == run.first:
                return stale + ([] if self.have.round >= number else self._fetch(number, 0, run.model, record.state, record))
            case "reduce":
                return stale + self._reduce(record)
            case "committed":
                return stale + self._take(record)
        raise AssertionError(f"phase {record.phase!r}")

    def recovered(self) -> list[Action]:
        """An operator recovered the ledger in a new epoch: whatever was not committed in it is begun anew, but for this peer's update."""
        self._recovered = True
        self._forget_result()
        self.pull = None
        return self._abandon()

    def _disown(self, record: RoundRecord) -> list[Action]:
        """A model that is not in the ledger any more is no committed one: the recovered ledger had not heard of its round."""
        run, have = self._view.run, self.have
        number, model, state = record.committed
        if run is None or have.round == NOTHING or number < run.first:
            return []
        other = have.round == number and (have.model, have.state) != (model, state)
        if not other and not (self._recovered and have.round > number):
            return []
        why = (
            f"This peer holds round {have.round} with model {have.model[:12]}, which the recovered ledger does not have: its last is "
            f"round {number} with model {model[:12]}. It takes that one."
        )
        stop: list[Action] = [StopTraining(self._training)] if self._training != NOTHING else []
        self.have, self._ready, self.pull = _Holding(), None, None
        self._forget_result()
        return [*stop, *self._abandon(), Announce(False), Observe(events.FaultSeen("ledger recovered", why))]

    def _catch_up(self, number: int, record: RoundRecord) -> list[Action]:
        """The record is of a later round: whatever it starts from is committed, though that record was not seen here."""
        if self.have.round >= number:
            return []
        before = replace(record, number=number, epoch=0, phase="committed", model=record.base_model, state=record.base_state)
        actions = self._take(before)
        return actions + self.follow() if self.have.round >= number else actions

    def _train(self, record: RoundRecord) -> list[Action]:
        if self._training == record.number:
            return []
        ready = self._ready
        if ready and ready.round == record.number and (ready.finite or self._attempt == record.attempt):
            return self._tell()  # an update trained for an earlier attempt still counts
        if self._training != NOTHING:
            return [StopTraining(self._training)]  # one training at a time: `trained` comes back here
        self._training, self._attempt, self._spoiled = record.number, record.attempt, False
        residual = self._residual.next() if record.number > PREPARATION else 0
        aside: list[Action] = []
        if residual:  # it waits in the result's memory
            self._forget_result()
            self.pull = None
            aside = [CancelTransfers("udp")]
        return [
            *aside,
            StartTraining(record.number, record.epoch, record.attempt, self._time_to_train(record), residual),
            Observe(events.TrainingStarted(record.number, record.epoch)),
        ]

    def _time_to_train(self, record: RoundRecord) -> float:
        """What is left of the deadline, for a peer that could not begin at once; 0: there is none."""
        left = record.train_deadline_s - (self._view.now - self._view.round_since)
        return max(left, LEAST_TRAINING * record.train_deadline_s)

    def trained(self, trained: Trained) -> list[Action]:
        """Training ended; the update is announced if the round still takes it."""
        if self._training == trained.round:
            self._training = NOTHING
        self._residual.trained(trained, spoiled=self._spoiled)
        record = self._view.round
        if record is None or record.number != trained.round:
            return [*_told(trained), *self.follow()]
        if trained.ready is None:  # nobody waits for an update that will not come
            self._ready = Ready(trained.round, 1, (), (), finite=False, train_s=0.0)
            return [Observe(events.FaultSeen("training", trained.why)), *self._tell(), *self.follow()]
        self._ready = trained.ready
        return [*_told(trained), *self._tell(), *self.follow()]

    def _reduce(self, record: RoundRecord) -> list[Action]:
        view = self._view
        if self._result == (record.number, record.epoch):
            return []
        if record.holders:
            return self._share(record)
        member = record.member(view.me)
        if member is None or self.have.round != record.number - 1:
            stop: list[Action] = [StopTraining(record.number)] if self._training == record.number else []
            return stop + self._catch_up(record.number - 1, record)
        if self.reduction:
            return []
        if member.samples == 0 and self._training == record.number:
            return [StopTraining(record.number), *self._enter(record)]
        if member.samples and (self._ready is None or self._ready.round != record.number):
            return []  # an earlier life of this peer announced that update; the coordinator sees the new instance and removes it
        return self._enter(record)

    def _share(self, record: RoundRecord) -> list[Action]:
        """Somebody holds the result: whoever is expected fetches it, and nobody reduces any more. Others wait for the commit."""
        if self._view.me not in record.expected:
            return []
        if self._training == record.number:
            return [StopTraining(record.number)]  # the base is being read; `trained` comes back here
        return self._fetch(record.number, record.epoch, record.model, record.state, record)

    def _enter(self, record: RoundRecord) -> list[Action]:
        view, run, sizes = self._view, self._view.run, self._sizes
        if run is None or sizes is None:
            raise AssertionError("a reduce without a run or a model")
        vector = len(sizes.shape) - 1 if record.number == PREPARATION else 0
        before, self._before = self._before, None
        finished = before.done if before and same_sum(before.record, record) else frozenset[int]()
        if not kept_by(record, view.me, sizes.shape[vector]) <= finished:
            return []  # an earlier life of this peer had them; the coordinator hears that this one has not, and removes it
        self._forget_result()
        self.pull = None
        beside = _beside(sizes) if record.kept and record.number > PREPARATION else ()
        self.reduction = Reduction(record, view.me, run.tiers, sizes.shape[vector], sizes.scratch, vector, beside)
        contributors = tuple(m.peer for m in record.members if m.samples)
        receivers = tuple(m.peer for m in record.members if not m.samples)
        return [
            CancelTransfers("udfp"),
            BeginReduce(record),
            Observe(events.ReduceStarted(record.number, record.epoch, contributors, receivers)),
            *self.reduction.start(),
        ]

    def _holds(self, record: RoundRecord) -> bool:
        return self._held is not None and (self._held.round, self._held.epoch) == (record.number, record.epoch)

    def _forget_result(self) -> None:
        """The result's memory is about to be written again."""
        self._spoiled |= NOTHING < self._training <= self.have.round  # a training that goes on after its round began from what is there
        self._held = self._unsaid = self._score = self._result = None
        self._lender.forget_result()

    def _abandon(self) -> list[Action]:
        self._before, self.reduction = self.reduction, None
        return [CancelTransfers("udf")]

    def _take(self, record: RoundRecord) -> list[Action]:
        """The round is committed: swap the result in, or fetch it."""
        number = record.number
        if self.have.round >= number:
            return []
        same = (record.model, record.state) == (self.have.model, self.have.state)
        if same:
            return self._installed(record, "void", swap=False)
        held = self._held or self._unsaid
        if held and self._result == (number, held.epoch) and (held.model, held.state) == (record.model, record.state):
            return self._installed(record, "reduced", swap=True)
        actions: list[Action] = []
        if held and (held.round, held.epoch) == (number, record.epoch):
            actions.append(
                Observe(
                    events.FaultSeen(
                        "result", f"Round {number} was committed with model {record.model[:12]}, this peer computed {held.model[:12]}; "
                        "it takes the committed one. Do all peers run the same build?",
                    )
                )
            )  # fmt: skip
        return actions + self._fetch(number, 0, record.model, record.state, record)

    def _installed(self, record: RoundRecord, how: str, *, swap: bool) -> list[Action]:
        number = record.number
        actions: list[Action] = []
        if swap:
            actions.extend(self._lender.supersede(number))
            actions.append(Install(number, record.model, record.state, how, record))
        self.have = _Holding(number, record.model, record.state)
        self._ready = self._held = self._unsaid = self._score = self._result = None
        self.reduction = self._before = self.pull = None
        stop: list[Action] = [StopTraining(self._training)] if NOTHING < self._training <= number else []
        seen = Observe(events.ModelInstalled(number, record.model, how))
        prepare = self._prepare() if not record.void or record.number > PREPARATION else []
        return [*stop, *actions, *prepare, Announce(True), seen, *self._tell()]

    def _prepare(self) -> list[Action]:
        """The base has the swarm's statistics for the first time in this life."""
        run = self._view.run
        if self._prepared or run is None or not run.prepare or self.have.round < PREPARATION:
            return []
        self._prepared = True
        return [Prepare()]

    # ---- the reduce

    def transfer(self, ended: TransferEnded) -> list[Action]:
        """A transfer of this peer's reduce or pull ended."""
        if ended.tag.kind == "p":
            if ended.sending:
                self._lender.sent(ended.peer, ended.tag)
            if ended.sending or self.pull is None or ended.tag.round != self.pull.number:
                return []
            return self._pulled(self.pull.ended(ended, self._view.now))
        reduction = self.reduction
        if reduction is None or (ended.tag.round, ended.tag.epoch) != (reduction.record.number, reduction.record.epoch):
            return []
        if ended.ok:
            return [*reduction.ended(ended), *self._tell_finished(reduction)]
        return self._accuse(ended.peer, ended.error)

    def added(self, added: Added) -> list[Action]:
        """A partial was added, or was out of bounds: then its sender is accused, and the segment waits for the next epoch."""
        reduction = self.reduction
        if reduction is None or (added.round, added.epoch) != (reduction.record.number, reduction.record.epoch):
            return []
        if not added.fault:
            return reduction.added(added)
        return [Observe(events.FaultSeen("partial", added.fault)), *self._accuse(added.peer, "bounds")]

    def _tell_finished(self, reduction: Reduction) -> list[Action]:
        """Say from time to time what is finished: an epoch that is begun with the same contributors keeps what the coordinator knows of."""
        count, of = reduction.count
        return self._tell() if count < of and (count - self._counted) * TELLS >= of else []

    def _accuse(self, peer: str, why: str) -> list[Action]:
        reduction = self.reduction
        if reduction is None or not reduction.first_failure(peer):
            return []
        number, epoch = reduction.record.number, reduction.record.epoch
        actions: list[Action] = [Observe(events.LinkAccused(number, epoch, peer, why))]
        if self._view.leader:  # what is finished comes first: the accusation may begin the next epoch
            actions.append(Say(self._view.leader, self.report()))
            actions.append(Say(self._view.leader, Accuse(number, epoch, peer, why)))
        return actions

    def result(self, result: ResultReady) -> list[Action]:
        """Every segment is finished: say so."""
        reduction, record = self.reduction, self._view.round
        if reduction is None or record is None or (result.round, result.epoch) != (record.number, record.epoch):
            return []
        return self._hold(record, result.model, result.state, result.finite)

    def _hold(self, record: RoundRecord, model: str, state: str, finite: bool) -> list[Action]:
        """The result is whole. A voter makes it durable before it says so (`--durability full`)."""
        self._result = (record.number, record.epoch)
        sharing = self._view.me in (m.peer for m in record.members)
        scores = finite and sharing and record.number > PREPARATION
        self._unsaid = Held(record.number, record.epoch, model, state, finite, scores=scores)
        seen = Observe(events.ResultHeld(record.number, record.epoch, model))
        if finite and self._view.durable and self._view.me in self._view.voters:
            return [seen, Stage(record.number, record.epoch, model, state)]
        return [seen, *self.staged(Staged(record.number, record.epoch))]

    def staged(self, staged: Staged) -> list[Action]:
        """The result may be said to be held."""
        held, record = self._unsaid, self._view.round
        if held is None or record is None or (held.round, held.epoch) != (staged.round, staged.epoch) or self._result is None:
            return []
        self._unsaid, self._held = None, held
        actions = self._tell()
        if held.scores:
            sharing = [m.peer for m in record.members]
            if self._view.me in sharing and record.phase == "reduce":
                actions.append(Evaluate(held.round, held.epoch, (sharing.index(self._view.me), len(sharing))))
        return actions + self.follow()

    def evaluated(self, evaluated: Evaluated) -> list[Action]:
        """The score of the result: the coordinator adds everyone's."""
        if self._held is None or (self._held.round, self._held.epoch) != (evaluated.round, evaluated.epoch):
            return []
        self._score = evaluated.score or Score(evaluated.round, evaluated.epoch, 0, 0.0, None)
        return self._tell()

    # ---- fetching and serving models

    def _fetch(self, number: int, epoch: int, model: str, state: str, record: RoundRecord) -> list[Action]:
        if self.pull and (self.pull.round, self.pull.model, self.pull.state) == (number, model, state):
            return []
        if self._sizes is None:
            return []  # not built yet; `follow` comes again when it is
        candidates = self._holders(record)
        self._pulls, self._pulled_at = self._pulls + 1, self._view.now
        self._forget_result()
        left = self.reduction or self._before
        self.pull = Pull(
            self._instance % 2**31 + self._pulls, number, epoch, model, state, self._sizes.shape, candidates,
            look=left is not None and left.record.number == number and bool(left.done),
        )  # fmt: skip
        self.reduction = self._before = None
        seen: list[Action] = [Observe(events.PullStarted(number, tuple(candidates)))] if candidates else []
        return [CancelTransfers("udfp"), *seen, *self.pull.advance(self._view.now), *self._tell()]

    def _holders(self, record: RoundRecord) -> list[str]:
        """Whom to ask for a model, the likely holders first."""
        likely = [*record.holders, *record.contributors, *(m.peer for m in record.members), *record.expected]
        known = [p for p in dict.fromkeys(likely) if p in self._view.peers]
        # every peer begins with another holder, so that many joiners do not pull from one
        turn = int(self._view.me[:8], 16) % max(1, len(known))
        return [*known[turn:], *known[:turn], *(p for p in sorted(self._view.peers) if p not in known)]

    def offer(self, peer: str, offer: PullOffer) -> list[Action]:
        """A holder answered this peer's pull."""
        if self.pull is None:
            return []
        return self._pulled(self.pull.offered(peer, offer, self._view.now))

    def checked(self, check: PartChecked) -> list[Action]:
        """A pulled segment was compared with its digest."""
        if self.pull is None:
            return []
        seen: list[Action] = []
        if not check.ok and check.peer != self.pull.here:
            why = f"Segment {check.part.segment} from {check.peer} does not have the digest that was committed; asking another holder."
            seen.append(Observe(events.FaultSeen("pull", why)))
        return seen + self._pulled(self.pull.checked(check, self._view.now))

    def _pulled(self, actions: list[Action]) -> list[Action]:
        pull, record = self.pull, self._view.round
        if pull is None or not pull.done or record is None:
            return actions
        self.pull = None
        now_base = record.number == pull.round + 1 and (record.base_model, record.base_state) == (pull.model, pull.state)
        if pull.epoch and not now_base:  # the result of an epoch that was not committed when the pull began
            if (record.number, record.epoch) == (pull.round, pull.epoch):
                return actions + self._hold(record, pull.model, pull.state, finite=True)
            return actions + self.follow()
        brought = RoundRecord(pull.round, 0, "committed", model=pull.model, state=pull.state)
        return actions + self._installed(brought, "pulled", swap=True) + self.follow()

    def asked(self, peer: str, message: PullOpen) -> list[Action]:
        """Another peer wants a model: the committed one for anyone, an uncommitted result for those expected to hold it."""
        record = self._view.round
        if self.have.round != NOTHING and (message.model, message.state) == (self.have.model, self.have.state):
            buffer = "base"
        elif (
            self._held and record and self._holds(record) and peer in record.expected
            and (message.model, message.state) == (self._held.model, self._held.state)
        ):  # fmt: skip
            buffer = "result"
        else:
            return [Say(peer, PullOffer(message.pull, False, why=f"this peer holds round {self.have.round}"))]
        return self._lender.open(peer, message.pull, buffer)

    def wanted(self, peer: str, message: PullWant) -> list[Action]:
        """Another peer has posted receives for these segments."""
        if self._sizes is None:
            return []  # nothing was offered, so nothing can be wanted
        return self._lender.wanted(peer, message, self._sizes)

    # ---- time and peers

    def tick(self) -> list[Action]:
        """Report again, and look after a pull that stands still."""
        actions: list[Action] = []
        if self._view.now >= self._next_report and self._view.run is not None:
            actions.extend(self._tell())
        if self.pull:
            actions.extend(self.pull.advance(self._view.now))
            if self.pull.exhausted and self._view.now - self._pulled_at >= PULL_AGAIN_S:
                self._pulled_at = self._view.now
                actions.extend(self.pull.again(self._holders(self._view.round) if self._view.round else [], self._view.now))
        return actions

    def gone(self, peer: str) -> list[Action]:
        """A peer went: nothing more is expected of it."""
        self._lender.gone(peer)
        return self._pulled(self.pull.lost(peer, self._view.now)) if self.pull else []

    def led(self) -> list[Action]:
        """There is another coordinator: tell it everything."""
        return self._tell()

    def leave(self, code: int, why: str) -> list[Action]:
        """Nothing is left to do here."""
        if self.left:
            return []
        self.left = True
        return [Exit(code, why)]


def _told(trained: Trained) -> list[Action]:
    ready = trained.ready
    if ready is None or trained.round == PREPARATION:
        return []
    return [Observe(events.TrainingEnded(trained.round, ready.samples, ready.loss, ready.train_s, ready.finite, ready.residual))]


def _beside(sizes: Built) -> tuple[int, ...]:
    """For each segment of the model how many vectors of the strategy's state have values beside it."""
    layout = sizes.layout
    if not sizes.vectors:
        return ()
    return tuple(sizes.vectors if segment.start < layout.trainable_size else 0 for segment in cut(layout.size))

"""The round machine of one peer: `step(input, now) -> actions`. No IO, no thread, no clock, no randomness.

It routes what happens to its member and its coordinator role, in the manner of etcd-io/raft. protocol.md is its specification.
"""

from __future__ import annotations

from collections import deque

import msgspec

from pyfl import events
from pyfl.errors import MessageError
from pyfl.overlay import protocol as overlay
from pyfl.rounds import messages
from pyfl.rounds.actions import (
    Action,
    Added,
    Build,
    Built,
    Evaluated,
    Exit,
    Observe,
    PartChecked,
    Pin,
    Propose,
    ResultReady,
    Say,
    Staged,
    Tick,
    Trained,
    TransferEnded,
)  # fmt: skip
from pyfl.rounds.coordinator import Coordinator, hopeless
from pyfl.rounds.early_stopping import enough
from pyfl.rounds.member import Member
from pyfl.rounds.records import CONTROL, PREPARATION, ROUND, RUN, ControlRecord, RoundRecord, RunRecord
from pyfl.rounds.screening import screen
from pyfl.rounds.view import View
from pyfl.rounds.waits import Wait

__all__ = ["Machine"]

LAST_HOLD_S = 60.0  # how long a peer stays after the last commit for what it lacks, or for those who may need it
LAST_OUT_S = 3.0  # how long the coordinator stays after the end for those who have not heard of it
REFUSED, STOPPED = 7, 1

Input = overlay.Event | Tick | Built | Trained | ResultReady | Staged | Evaluated | PartChecked | Added | TransferEnded | Exit


class Machine:
    """One peer's rounds. Not thread-safe: one caller."""

    def __init__(self, me: str, instance: int, *, durable: bool = False, stay: bool = False, give_up_s: float = 0.0) -> None:
        """`instance`: a number that differs in every life of this peer; `durable`: stage results before they count.

        `stay`: after the run's end go on as a member that gives its model to whoever comes, until an operator stops the swarm.
        `give_up_s`: whoever runs this peer ends it when the committee's majority was away for so long; 0: never. It is only told of.
        """
        self.view = View(me, durable=durable)
        self.member = Member(self.view, instance)
        self.coordinator = Coordinator(self.view)
        self._proposal: RunRecord | None = None
        self._stay, self._give_up_s = stay, give_up_s
        self._ended_at: float | None = None
        self._end_seen: tuple[int, int] = (0, 0)
        self._told_end = False
        self._waited = ("", 0.0)
        self._pinned: tuple[int, str] = (0, "")

    # ---- entry

    def step(self, happened: Input, now: float) -> list[Action]:
        """Take one input in at time `now` (seconds, monotonic) and say what is to be done, in order."""
        self.view.now = max(now, self.view.now)
        actions = self._dispatch(happened)
        actions.extend(self.coordinator.consider())
        return self._deliver_to_self(actions)

    def propose(self, run: RunRecord) -> list[Action]:
        """What this peer would found a swarm with: written when it leads a ledger without a run."""
        self._proposal = run
        return self._deliver_to_self(self.coordinator.found(run))

    def control(self, control: ControlRecord) -> Propose:
        """An operator's wish as a write (name 0: nobody waits for its outcome)."""
        version = self.view.versions.get(CONTROL, 0)
        return Propose(0, (overlay.Write(CONTROL, version, msgspec.msgpack.encode(control)),))

    def _deliver_to_self(self, actions: list[Action]) -> list[Action]:
        """Messages to this peer itself go straight to its other role."""
        result: list[Action] = []
        todo = deque(actions)
        while todo:
            action = todo.popleft()
            if isinstance(action, Say) and action.peer == self.view.me:
                self._message(self.view.me, action.message)
                todo.extend(self.coordinator.consider())
            else:
                result.append(action)
        return result

    def _dispatch(self, happened: Input) -> list[Action]:
        match happened:
            case Tick():
                return [*self.coordinator.tick(), *self.member.tick(), *self._end(), *self._stuck()]
            case TransferEnded():
                return self.member.transfer(happened)
            case overlay.Message():
                return self._payload(happened)
            case overlay.Record():
                return self._record(happened)
            case overlay.PeerUp() | overlay.PeerUpdate():
                return self._arrived(happened)
            case overlay.PeerDown():
                return self._departed(happened)
            case overlay.LinkRoute():
                return self._routed(happened)
            case overlay.Leader():
                return self._leader(happened)
            case overlay.Committee():
                return self._committee(happened)
            case overlay.WriteDone():
                return self.coordinator.write_done(happened.request, ok=happened.ok)
            case overlay.BarrierDone():
                actions = self.coordinator.barrier_done(happened.request, ok=happened.ok)
                return actions + (self.coordinator.found(self._proposal) if self._proposal else [])
            case Built():
                return self._model_built(happened)
            case Trained():
                return self.member.trained(happened)
            case ResultReady():
                return self.member.result(happened)
            case Staged():
                return self.member.staged(happened)
            case Evaluated():
                return self.member.evaluated(happened)
            case PartChecked():
                return self.member.checked(happened)
            case Added():
                return self.member.added(happened)
            case Exit():
                return self.member.leave(happened.code, happened.why)
            case overlay.Fault():
                return [Observe(events.FaultSeen(happened.where, happened.error))]
            case overlay.LedgerLost():
                if not self.view.ledger_lost:
                    self.view.ledger_lost, self.view.ledger_lost_since = True, self.view.now
            case overlay.LedgerFound():
                self.view.ledger_lost = False
            case _:
                pass
        return []

    # ---- the overlay's events

    def _arrived(self, peer: overlay.PeerUp | overlay.PeerUpdate) -> list[Action]:
        new = peer.peer not in self.view.peers
        self.view.peers[peer.peer] = peer
        self.coordinator.roster.arrive(peer.peer)
        return [Observe(events.PeerJoined(peer.peer, peer.name, peer.address))] if new else []

    def _departed(self, down: overlay.PeerDown) -> list[Action]:
        self.coordinator.roster.depart(down.peer, down.reason, confirmed=down.confirmed)
        if not down.confirmed:
            return [Observe(events.PeerLeft(down.peer, down.reason))]
        known = self.view.peers.pop(down.peer, None)
        self.view.via.pop(down.peer, None)
        seen: list[Action] = [Observe(events.PeerLeft(down.peer, down.reason))] if known else []
        return [*seen, *self.member.gone(down.peer)]

    def _routed(self, link: overlay.LinkRoute) -> list[Action]:
        self.view.via.pop(link.peer, None)
        if link.via:
            self.view.via[link.peer] = link.via
        return [Observe(events.LinkRouted(link.peer, link.via))]

    def _leader(self, leader: overlay.Leader) -> list[Action]:
        changed = leader.leader != self.view.leader or leader.me != self.view.leading
        was = self.view.leading
        self.view.leader, self.view.leading = leader.leader, leader.me
        if not changed:
            return []
        self.view.leader_since = self.view.now
        actions: list[Action] = [Observe(events.CoordinatorChanged(leader.leader, leader.me))]
        if leader.me:
            actions.extend(self.coordinator.lead())
        elif was:
            self.coordinator.step_down()
        return actions + self.member.led()

    def _committee(self, committee: overlay.Committee) -> list[Action]:
        view = self.view
        before, view.ledger_epoch = view.ledger_epoch, committee.epoch or view.ledger_epoch
        view.voters = tuple(committee.voters)
        return self.member.recovered() if 0 < before < view.ledger_epoch else []

    def _payload(self, message: overlay.Message) -> list[Action]:
        try:
            return self._message(message.peer, messages.decode(message.payload))
        except MessageError as error:
            return [Observe(events.FaultSeen("message", f"From {message.peer}: {error}"))]

    def _message(self, peer: str, message: messages.Message) -> list[Action]:
        match message:
            case messages.Report():
                if self.view.leading and self.view.run:
                    screen(message, self.view.run)
                    self.coordinator.report(peer, message)
            case messages.Accuse():
                if self.view.leading:
                    self.coordinator.accuse(peer, message)
            case messages.PullOpen():
                return self.member.asked(peer, message)
            case messages.PullWant():
                return self.member.wanted(peer, message)
            case messages.PullOffer():
                return self.member.offer(peer, message)
        return []

    # ---- records

    def _record(self, record: overlay.Record) -> list[Action]:
        try:
            if not self.view.accept(record):
                return []
        except MessageError as error:
            return [Observe(events.FaultSeen("record", str(error)))]
        if record.key == RUN:
            return self._adopt()
        if record.key == CONTROL and self.view.me in self.view.control.kicked:
            return self.member.leave(REFUSED, f"Kicked from the swarm by {self.view.control.by or 'an operator'}.")
        if record.key == ROUND and self.view.round:
            return [*self._announce(self.view.round), *self.member.follow(), *self._end()]
        return [*self._pin(), *self._end()]

    def _pin(self) -> list[Action]:
        """The best round's checkpoint is kept; told anew in each life."""
        best = self.view.history.best
        if best is None or self.member.have.round < 0 or (best.round, best.model) == self._pinned:
            return []
        self._pinned = (best.round, best.model)
        return [Pin(best)]

    def _announce(self, record: RoundRecord) -> list[Action]:
        if record.number < PREPARATION:
            return []  # model 0 is on its way to everyone, and the preparation is still to come
        if record.phase == "train":
            return [Observe(events.RoundOpened(record.number, record.epoch, record.expected))]
        if record.phase == "committed":
            committed = events.RoundCommitted(
                record.number, record.epoch, record.contributors, record.model, record.void, record.accuracy, record.loss,
                record.train_s, record.reduce_s, record.scored, {} if record.void else record.residuals,
            )  # fmt: skip
            return [Observe(committed)]
        return []

    def _adopt(self) -> list[Action]:
        run = self.view.run
        if run is None:
            raise AssertionError("the run's record was accepted and is not there")
        proposal = self._proposal
        founded = proposal is not None and proposal.run == run.run
        seen = Observe(events.RunAdopted(run.run, run.app, run.rounds, run.layout.size, founded))
        return [seen, Build(run)]

    def _model_built(self, built: Built) -> list[Action]:
        run = self.view.run
        if run is None:
            raise AssertionError("a model was built without a run")
        differences = built.layout.difference(run.layout)
        if differences:
            why = "This peer's model differs from the swarm's: " + "; ".join(differences[:10]) + ". Use the swarm's model."
            return self.member.leave(REFUSED, why)
        return [*self.member.built(built), *self._pin()]

    # ---- the end, and standing still

    def _end(self) -> list[Action]:
        """After the last commit: members without a vote leave at once, voters after them, the coordinator last.

        Those that were told to stay do not, unless the run was stopped.
        """
        control, record, view = self.view.control, self.view.round, self.view
        finished, alone = control.state == "finished", self._alone_at_the_end() and not self._stay
        if record is None or not (finished or alone):
            self._ended_at = None
            return []
        seen_now = (view.versions.get(CONTROL, 0), self.member.report().progress)  # a model that is still coming in is waited for
        if self._ended_at is None or seen_now != self._end_seen:
            self._ended_at, self._end_seen = view.now, seen_now
        waited = view.now - self._ended_at
        if not finished:
            why = f"Round {record.number} was the last, and the committee is gone."
            return self.member.leave(0, why) if waited >= LAST_HOLD_S else []
        if self.member.have.round < record.number and waited < LAST_HOLD_S:
            return []
        seen: list[Action] = [] if self._told_end or self.member.left else [Observe(events.RunFinished(record.number))]
        self._told_end = True
        return seen if self._stay and not control.stopped else seen + self._depart(control, record, waited)

    def _depart(self, control: ControlRecord, record: RoundRecord, waited: float) -> list[Action]:
        """Leave when it is this peer's turn."""
        view = self.view
        others = {p for p in view.peers if p not in self.coordinator.roster.suspected}
        voters = others & set(view.voters)
        if view.leading:
            stay = bool(others) and waited < LAST_OUT_S
        else:
            stay = view.me in view.voters and bool(others - voters) and waited < LAST_OUT_S / 2
        if stay:
            return []
        code = STOPPED if hopeless(record) else 0
        return self.member.leave(code, control.why)

    def _alone_at_the_end(self) -> bool:
        """The last round is committed and held here, and the committee went before it could tell this peer that the run is over."""
        record, run = self.view.round, self.view.run
        if record is None or run is None or record.phase != "committed":
            return False
        if record.number < run.rounds and not enough(self.view.history.best, run.early_stopping):
            return False
        return self.view.ledger_lost and self.member.have.round >= record.number

    def _stuck(self) -> list[Action]:
        """Say by name what is waited for, when it has been the same for 10 s."""
        what, since = self._waited
        now_waiting = self.wait()
        if now_waiting.what != what or since == 0.0:
            self._waited = (now_waiting.what, self.view.now)
            return []
        if what and self.view.now - since >= 10.0:
            self._waited = (what, self.view.now)
            return [Observe(events.Waiting(what, now_waiting.until_s, now_waiting.then))]
        return []

    def waiting(self) -> str:
        """What this peer waits for, by name; empty when it is at work itself, or stays after the run's end."""
        return self.wait().what

    def wait(self) -> Wait:
        """The same with the time that is left and what happens then."""
        view = self.view
        if self._told_end and view.control.state == "finished":
            return Wait()
        if view.ledger_lost or (view.leading and not self.coordinator.active):
            what = f"a majority of the committee, which is {', '.join(view.voters) or 'not known'}"
            if not view.ledger_lost or not self._give_up_s:
                return Wait(what)
            left = self._give_up_s - (view.now - view.ledger_lost_since)
            return Wait(what, max(0.0, left), "this peer ends with exit code 6")
        mine = self.member.wait()
        if view.leading and mine.what and not self.member.occupied:
            others = self.coordinator.wait()
            return others if others.what else mine
        return mine

    @property
    def left(self) -> bool:
        """The machine has asked to exit."""
        return self.member.left

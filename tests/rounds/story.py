"""A handful of real round machines on a table, driven by hand: the text commands of `scenarios/*.txt` and what they make happen.

No time passes but by `wait`, no training ends but by `trained`, no peer fails but by a command. Messages, ledger writes and segments move
at once. Models are only names: `m2(a b c)` is what a, b and c make of round 2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from blake3 import blake3

from pyfl import events
from pyfl.aggregation import fedavg
from pyfl.narrator import until
from pyfl.overlay import protocol as overlay
from pyfl.rounds import actions as act
from pyfl.rounds import messages
from pyfl.rounds.kept import unpack
from pyfl.rounds.machine import Input, Machine
from pyfl.rounds.pull import combined_state
from pyfl.rounds.records import ROUND, Deadlines, RoundRecord, RunRecord
from pyfl.tiers import parse
from pyfl.training.layout import Layout, TensorSpec
from pyfl.wire import digests

__all__ = ["Table", "peer_id"]

SEGMENTS, SCRATCH, TICK_S = 3, 2, 0.25
LAYOUT = Layout((TensorSpec("w", (48,)),))
NO_STATE = combined_state(())
DEADLINES = Deadlines(train_floor_s=10, train_ceiling_s=60, reduce_floor_s=60, reduce_ceiling_s=60)


@dataclass
class Seat:
    """One peer at the table."""

    name: str
    machine: Machine
    alive: bool = True
    stopped: bool = False
    wrong: bool = False
    """Its arithmetic gives another result than everyone else's."""
    frozen: str = ""
    """Kinds of segments that do not move from or to it."""
    inputs: deque[Input] = field(default_factory=deque[Input])
    record: RoundRecord | None = None
    """Of its running reduce."""
    slow: bool = False
    """Its training goes on when it is asked to stop."""
    training: int = 0
    """The round that it trains; 0: none."""
    residual: int = 0
    """The round whose update waits to be added to that of the present training."""
    right: dict[int, bool] = field(default_factory=dict[int, bool])
    """The segments that are finished in its result's memory, and whether by everyone else's arithmetic."""


class Table:
    """The peers, the ledger between them, and what has been told since the last command."""

    def __init__(self) -> None:
        self.now = 0.0
        self.seats: dict[str, Seat] = {}
        self.told: list[str] = []
        self._lives = 0
        self._ledger: dict[str, tuple[int, bytes]] = {}
        self._leader = ""
        self._voters: tuple[str, ...] = ()
        self._cut: set[frozenset[str]] = set()
        self._posts: dict[tuple[str, str, act.SegmentTag], dict[bool, act.PostSend | act.PostReceive]] = {}
        self._moved = 0
        self._models: dict[str, tuple[str, tuple[bytes, ...]]] = {}
        self._commands: dict[str, Callable[[list[str], dict[str, str]], None]] = {
            "swarm": self._swarm, "trained": self._trained, "dies": self._dies, "restarts": self._restarts, "joins": self._joins,
            "stops": self._stops, "continues": self._continues, "cut": self._cut_links, "mend": self._mend, "freeze": self._freeze,
            "thaw": self._thaw, "leads": self._leads, "vote": self._vote, "wrong": self._wrong, "right": self._right,
            "wait": self._wait, "waiting": self._waiting, "slow": self._slow, "suspect": self._suspect,
        }  # fmt: skip

    def play(self, command: str) -> str:
        """One command; what happened, a line each."""
        verb, *words = command.split()
        if verb not in self._commands:
            raise ValueError(f"{verb!r} is no command; there are {', '.join(self._commands)}")
        plain = [w for w in words if "=" not in w]
        self._commands[verb](plain, dict(w.split("=", 1) for w in words if "=" in w))
        self._settle()
        told, self.told = self.told, []
        if self._moved:
            told.append(f"({self._moved} segments moved)")
            self._moved = 0
        return "\n".join(told) or "(nothing)"

    def trains(self, name: str) -> bool:
        """A live peer knows of a round; what it trained is taken or dropped by it."""
        return self.seats[name].alive and self.seats[name].machine.view.round is not None

    # ---- commands

    def _swarm(self, names: list[str], options: dict[str, str]) -> None:
        self._voters = tuple(options.get("voters", ",".join(names[:3])).split(","))
        for name in names:
            self._sit(name)
        run = RunRecord(
            run="story", app="story", layout=LAYOUT, model=self._model("m0"), state=NO_STATE, strategy=fedavg(),
            tiers=parse(options.get("tiers", "rotated:2")), rounds=int(options.get("rounds", "9")), min_peers=len(names),
            min_contributors=int(options.get("min_contributors", "0")), voters=len(self._voters),
            deadlines=msgspec.structs.replace(DEADLINES, train_floor_s=float(options.get("train_floor", "10"))),
            residuals=options.get("residuals", "no") == "yes",
        )  # fmt: skip
        founder = self.seats[names[0]]
        self._perform(founder, founder.machine.propose(run))
        self._lead(names[0])

    def _sit(self, name: str) -> Seat:
        self._lives += 1
        seat = self.seats[name] = Seat(name, Machine(peer_id(name), self._lives))
        others = [s for s in self.seats.values() if s.alive and s is not seat]
        for other in others:
            seat.inputs.append(overlay.PeerUp(peer_id(other.name), other.name, eligible=True))
            other.inputs.append(overlay.PeerUp(peer_id(name), name, eligible=True))
        seat.inputs.append(overlay.Committee([peer_id(v) for v in self._voters]))
        for index, (key, (version, value)) in enumerate(self._ledger.items()):
            seat.inputs.append(overlay.Record(key, version, index, value))
        if self._leader:
            seat.inputs.append(overlay.Leader(peer_id(self._leader), False, 1))
        return seat

    def _lead(self, name: str) -> None:
        self._leader = name
        for seat in self.seats.values():
            seat.inputs.append(overlay.Leader(peer_id(name), seat.name == name, 1))

    def _trained(self, names: list[str], options: dict[str, str]) -> None:
        for name in names:
            seat = self.seats[name]
            record = seat.machine.view.round
            assert record is not None
            finite = options.get("finite", "yes") == "yes"
            number = seat.training or record.number
            brings = seat.residual if finite else 0
            ready = messages.Ready(number, int(options.get("samples", "10")), (0,), (0,), finite, 1.0, 0.5, brings)
            seat.inputs.append(act.Trained(number, ready, residual=seat.residual - brings))
            seat.training = seat.residual = 0
            self._settle()

    def _slow(self, names: list[str], options: dict[str, str]) -> None:
        for name in names:
            self.seats[name].slow = True

    def _dies(self, names: list[str], options: dict[str, str]) -> None:
        for name in names:
            self.seats[name].alive = False
            self.seats[name].inputs.clear()
            for other in self.seats.values():
                other.inputs.append(overlay.PeerDown(peer_id(name), "refused", True))
            self._break(lambda a, b, name=name: name in (a, b))

    def _suspect(self, names: list[str], options: dict[str, str]) -> None:
        for name in names:
            for other in self.seats.values():
                if other.name != name:
                    other.inputs.append(overlay.PeerDown(peer_id(name), "gossip", False))

    def _restarts(self, names: list[str], options: dict[str, str]) -> None:
        self._dies([name for name in names if self.seats[name].alive], {})
        self._settle()
        for name in names:
            self._sit(name)

    def _joins(self, names: list[str], options: dict[str, str]) -> None:
        for name in names:
            self._sit(name)

    def _stops(self, names: list[str], options: dict[str, str]) -> None:
        for name in names:
            self.seats[name].stopped = True

    def _continues(self, names: list[str], options: dict[str, str]) -> None:
        for name in names:
            self.seats[name].stopped = False

    def _cut_links(self, names: list[str], options: dict[str, str]) -> None:
        a, b = names
        self._cut.add(frozenset((a, b)))
        self._break(lambda x, y: {x, y} == {a, b})

    def _mend(self, names: list[str], options: dict[str, str]) -> None:
        self._cut.discard(frozenset(names))

    def _freeze(self, names: list[str], options: dict[str, str]) -> None:
        for name in names or list(self.seats):
            self.seats[name].frozen = options.get("kinds", "udfp")

    def _thaw(self, names: list[str], options: dict[str, str]) -> None:
        for name in names or list(self.seats):
            self.seats[name].frozen = ""
        self._move()

    def _leads(self, names: list[str], options: dict[str, str]) -> None:
        self._lead(names[0])

    def _vote(self, names: list[str], options: dict[str, str]) -> None:
        self._voters = tuple(names)
        for seat in self.seats.values():
            seat.inputs.append(overlay.Committee([peer_id(v) for v in names]))

    def _wrong(self, names: list[str], options: dict[str, str]) -> None:
        for name in names:
            self.seats[name].wrong = True

    def _right(self, names: list[str], options: dict[str, str]) -> None:
        for name in names:
            self.seats[name].wrong = False

    def _wait(self, words: list[str], options: dict[str, str]) -> None:
        end = self.now + float(words[0])
        lost = sum(self.seats[v].alive for v in self._voters) * 2 <= len(self._voters)
        for seat in self.seats.values():
            if seat.machine.view.ledger_lost != lost:
                seat.inputs.append(overlay.LedgerLost(5000) if lost else overlay.LedgerFound())
        while self.now < end:
            self.now += TICK_S
            for seat in self.seats.values():
                if not seat.stopped:
                    seat.inputs.append(act.Tick())
            self._settle()

    def _waiting(self, words: list[str], options: dict[str, str]) -> None:
        for seat in self.seats.values():
            if seat.alive and not seat.machine.left:
                wait = seat.machine.wait()
                what = until(wait.what, wait.until_s, wait.then) or "nothing: it is at work"
                self.told.append(self._names(f"{seat.name}: waits for {what}"))

    # ---- the world

    def _settle(self) -> None:
        busy = True
        while busy:
            busy = False
            for seat in list(self.seats.values()):
                while seat.inputs and seat.alive and not seat.stopped and not seat.machine.left:
                    busy = True
                    self._perform(seat, seat.machine.step(seat.inputs.popleft(), self.now))

    def _perform(self, seat: Seat, actions: list[act.Action]) -> None:
        for action in actions:
            self._do(seat, action)

    def _do(self, seat: Seat, action: act.Action) -> None:
        answer: Input | None = None
        match action:
            case act.Build():
                answer = act.Built(LAYOUT, self._model("m0"), NO_STATE, SEGMENTS, SEGMENTS, 0, SCRATCH)
            case act.StartTraining():
                again = f", attempt {action.attempt}" if action.attempt > 1 else ""
                old = f", and brings its update of round {action.residual}" if action.residual else ""
                self.told.append(f"{seat.name}: trains round {action.round}{again}{old}")
                seat.training, seat.residual = action.round, action.residual
            case act.StopTraining() if seat.slow:
                pass
            case act.StopTraining():
                self.told.append(f"{seat.name}: stops training")
                seat.training = 0
                answer = act.Trained(action.round, None, "stopped")
            case act.BeginReduce():
                if seat.record is None or seat.record.number != action.record.number:
                    seat.right.clear()
                seat.record = action.record
            case act.Fill():
                seat.right.pop(action.segment, None)
            case act.Add():
                assert seat.record is not None
                answer = act.Added(seat.record.number, seat.record.epoch, action.segment, action.scratch, action.peer)
            case act.Finish() | act.Adopt():
                seat.right[action.segment] = not seat.wrong
                answer = self._result(seat) if action.last else None
            case act.Evaluate():
                answer = act.Evaluated(None, action.round, action.epoch)
            case act.CheckPart():
                fetched = any(action.peer == peer_id(name) for name in self.seats)
                answer = act.PartChecked(action.part, fetched or seat.right.get(action.part.segment, False), action.peer)
            case act.Offer():
                held = seat.machine.member.have.model if action.buffer == "base" else self._held(seat)
                offer = messages.PullOffer(action.pull, True, (self._models[held][1],))
                self._do(seat, act.Say(action.peer, offer))
            case act.Say():
                self._say(seat, action)
            case act.PostSend() | act.PostReceive():
                self._post(seat, action)
            case act.CancelTransfers():
                if "p" in action.kinds:  # the result's memory, where an old update waits, is written
                    seat.residual = 0
                self._cancel(seat, action)
            case act.Propose():
                self._write(seat, action)
            case act.Barrier():
                answer = overlay.BarrierDone(action.name, ok=True)
            case act.Exit():
                self.told.append(self._names(f"{seat.name}: leaves with code {action.code}: {action.why}"))
            case act.Observe():
                self._observe(seat, action.event)
            case _:
                pass
        if answer is not None:
            seat.inputs.append(answer)

    def _held(self, seat: Seat) -> str:
        held = seat.machine.member.report().held
        assert held is not None
        return held.model

    def _result(self, seat: Seat) -> Input:
        record = seat.record
        assert record is not None
        who = " ".join(_name(m.peer) for m in record.members if m.samples)
        model = self._model(f"m{record.number}({who})" + (" as only " + seat.name + " has it" if seat.wrong else ""))
        return act.ResultReady(record.number, record.epoch, model, NO_STATE, True)

    def _model(self, label: str) -> str:
        segments = tuple(blake3(f"{label} segment {i}".encode()).digest() for i in range(SEGMENTS))
        model = digests.combine(segments)
        self._models[model] = (label, segments)
        return model

    def _linked(self, a: str, b: str) -> bool:
        both = all(name in self.seats and self.seats[name].alive for name in (a, b))
        return both and frozenset((a, b)) not in self._cut

    def _say(self, seat: Seat, say: act.Say) -> None:
        other = _name(say.peer)
        if self._linked(seat.name, other):
            self.seats[other].inputs.append(overlay.Message(peer_id(seat.name), b"pyfl", messages.encode(say.message)))

    def _write(self, seat: Seat, action: act.Propose) -> None:
        fits = all(self._ledger.get(w.key, (0, b""))[0] == w.version for w in action.writes)
        reachable = self.seats[self._leader].alive and not self.seats[self._leader].stopped
        ok = fits and reachable and sum(self.seats[v].alive for v in self._voters) * 2 > len(self._voters)
        if ok:
            for write in action.writes:
                self._ledger[write.key] = (write.version + 1, write.value)
                if write.key == ROUND:
                    self.told.append("ledger: " + self._describe(msgspec.msgpack.decode(write.value, type=RoundRecord)))
                for other in self.seats.values():
                    other.inputs.append(overlay.Record(write.key, write.version + 1, 0, write.value))
        seat.inputs.append(overlay.WriteDone(action.name, ok=ok, error="" if ok else "conflict"))

    # ---- segments

    def _post(self, seat: Seat, action: act.PostSend | act.PostReceive) -> None:
        sending = isinstance(action, act.PostSend)
        other = _name(action.peer)
        key = (seat.name, other, action.tag) if sending else (other, seat.name, action.tag)
        self._posts.setdefault(key, {})[sending] = action
        if not self._linked(seat.name, other):
            self._break(lambda a, b: {a, b} == {seat.name, other})
        self._move()

    def _move(self) -> None:
        for key, ends in list(self._posts.items()):
            sender, receiver, _ = key
            seats = (self.seats[sender], self.seats[receiver])
            if len(ends) == 2 and not any(key[2].kind in s.frozen or s.stopped or not s.alive for s in seats):
                del self._posts[key]
                self._moved += 1
                for sending, action in ends.items():
                    seat = self.seats[sender if sending else receiver]
                    seat.inputs.append(act.TransferEnded(action.peer, action.tag, action.place, sending, True))

    def _break(self, concerned: Callable[[str, str], bool]) -> None:
        for key, ends in list(self._posts.items()):
            sender, receiver, _ = key
            if concerned(sender, receiver):
                del self._posts[key]
                for sending, action in ends.items():
                    seat = self.seats[sender if sending else receiver]
                    seat.inputs.append(act.TransferEnded(action.peer, action.tag, action.place, sending, False, "peer_lost"))

    def _cancel(self, seat: Seat, action: act.CancelTransfers) -> None:
        for (sender, receiver, tag), ends in list(self._posts.items()):
            if tag.kind in action.kinds:
                for sending, end in list(ends.items()):
                    if (sender if sending else receiver) == seat.name and end.place.buffer != "base":
                        del ends[sending]

    # ---- telling

    def _observe(self, seat: Seat, event: events.ObservedEvent) -> None:
        match event:
            case events.PeerRemoved():
                line = f"goes on without {event.peer} in round {event.round}: {event.why}"
            case events.LinkAccused():
                line = f"cannot exchange segments with {event.peer}"
            case events.FaultSeen():
                line = f"{event.where}: {event.error}"
            case events.PullStarted():
                line = f"fetches round {event.round} from {' '.join(event.holders)}"
            case events.ResultHeld():
                line = f"holds {self._label(event.digest)}"
            case events.ModelInstalled() if event.how in ("pulled", "reduced"):
                line = f"is at round {event.round} ({event.how})"
            case events.Waiting():
                line = f"waits for {event.what}"
            case events.CoordinatorChanged() if event.me:
                line = "coordinates"
            case _:
                return
        line = self._names(f"{seat.name}: {line}")
        if line not in self.told:  # what is waited for is said every 10 s
            self.told.append(line)

    def _label(self, model: str) -> str:
        return self._models[model][0]

    def _names(self, text: str) -> str:
        for name in self.seats:
            text = text.replace(peer_id(name), name)
        for model, (label, _) in self._models.items():
            text = text.replace(model, label).replace(model[:12], label)
        return text

    def _describe(self, record: RoundRecord) -> str:
        names = [_name(p) for p in record.expected]
        head = f"round {record.number} epoch {record.epoch} {record.phase}"
        match record.phase:
            case "train":
                attempt = f", attempt {record.attempt}" if record.attempt > 1 else ""
                return f"{head}{attempt}: expects {' '.join(names)}, at least {record.min_contributors}"
            case "reduce" if record.number:
                slots = {m.slot: _name(m.peer) for m in record.members}
                parts = [f"contributors {' '.join(_name(m.peer) for m in record.members if m.samples)}"]
                if receivers := [_name(m.peer) for m in record.members if not m.samples]:
                    parts.append(f"receivers {' '.join(receivers)}")
                parts += [f"{_name(p)} brings its update of round {old}" for p, old in record.residuals.items()]
                if record.avoid:
                    parts.append("avoid " + " ".join(f"{slots.get(a, a)}-{slots.get(b, b)}" for a, b in record.avoid))
                if record.kept:
                    have = [f"{slots[slot]}:{','.join(map(str, sorted(unpack(bits, SEGMENTS))))}" for slot, bits in record.kept]
                    parts.append("kept " + " ".join(have))
                if record.holders:
                    parts.append(f"held by {' '.join(_name(p) for p in record.holders)}, expected of {' '.join(names)}")
                return f"{head}: {', '.join(parts)}"
            case "committed" if record.void:
                return f"{head}: void, the {record.voids}. in a row"
            case _:
                return f"{head}: {self._label(record.model)}"


def peer_id(name: str) -> str:
    return f"{ord(name) - ord('a') + 1:08x}" + "0" * 24


def _name(peer: str) -> str:
    return chr(int(peer[:8], 16) - 1 + ord("a"))

"""What a watcher of a whole swarm knows: events of all its peers in, the figures of a view out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pyfl import events
from pyfl.events import RoundCommitted, Stamped
from pyfl.narrator import Narrator, until

__all__ = ["PeerLine", "SwarmModel"]


@dataclass(slots=True)
class PeerLine:
    """One peer as the view shows it."""

    name: str
    peer: str = ""
    phase: str = "starting"
    """starting, joining, building, training, trained, reducing, holding, waiting, pulling, done, left, failed."""
    round: int = -1
    samples: int = 0
    digest: str = ""
    """Of the newest committed model that it holds."""
    note: str = ""
    ended: bool = False


@dataclass(slots=True)
class SwarmModel:
    """`began`: the monotonic clock's seconds when the swarm was started; peers are known by their index."""

    names: Sequence[str]
    rounds: int
    began: float
    lines: list[PeerLine] = field(init=False)
    committed: dict[int, RoundCommitted] = field(default_factory=dict[int, RoundCommitted])
    """By round, as the first peer that saw it tells."""
    committed_at: dict[int, float] = field(default_factory=dict[int, float])
    """Seconds from the start."""
    installed: dict[int, dict[int, str]] = field(default_factory=dict[int, dict[int, str]])
    """Digest of every committed model that a peer has held: by round, then by index."""
    failures: dict[int, tuple[int, str]] = field(default_factory=dict[int, tuple[int, str]])
    """(exit code, why) of peers that did not end well."""
    coordinator: str = ""
    round: int = 0
    epoch: int = 0
    last: str = ""
    """The newest thing worth telling."""
    parameters: int = 0
    narrator: Narrator = field(default_factory=Narrator)

    def __post_init__(self) -> None:
        self.lines = [PeerLine(name) for name in self.names]

    # ---- what happens

    def apply(self, index: int, stamped: Stamped) -> RoundCommitted | None:
        """Take in one event of a peer; returns a commit the first time that a peer tells of it."""
        line = self.lines[index]
        if not line.peer:
            line.peer = stamped.peer
            line.phase = "joining"
            self.narrator.meet(stamped.peer, line.name)
        event = stamped.data
        self._line(index, line, event)
        self._tell(line, event)
        if isinstance(event, events.RoundCommitted) and event.round not in self.committed:
            self.committed[event.round] = event
            self.committed_at[event.round] = stamped.monotonic - self.began
            return event
        return None

    def end(self, index: int, code: int, why: str) -> None:
        """A peer's process ended."""
        line = self.lines[index]
        if line.ended:
            return
        line.ended = True
        if code == 0:
            line.phase, line.note = "done", ""
        elif code in (130, 143):
            line.phase, line.note = "left", ""
        else:
            line.phase, line.note = "failed", why
            self.failures[index] = (code, why)
            self.last = f"{line.name} ended: {why}"

    def _line(self, index: int, line: PeerLine, event: events.ObservedEvent) -> None:
        match event:
            case events.RunAdopted():
                line.phase = "building"
                self.parameters = event.parameters
                self.rounds = event.rounds
            case events.CoordinatorChanged():
                self.coordinator = event.coordinator or self.coordinator
            case events.RoundOpened():
                self._at(event.round, event.epoch)
            case events.TrainingStarted():
                line.phase, line.round, line.note = "training", event.round, ""
                self._at(event.round, event.epoch)
            case events.TrainingEnded():
                line.phase, line.samples = "trained", event.samples
                line.note = "" if event.finite else "its update is not finite"
            case events.ReduceStarted():
                line.phase, line.round, line.note = "reducing", event.round, ""
                self._at(event.round, event.epoch)
            case events.ResultHeld():
                line.phase, line.round = "holding", event.round
            case events.ModelInstalled():
                line.phase, line.round, line.digest, line.note = "waiting", event.round, event.digest, ""
                self.installed.setdefault(event.round, {})[index] = event.digest
            case events.PullStarted():
                line.phase, line.note = "pulling", f"model {event.round} from {len(event.holders)} peers"
            case events.Waiting():
                line.note = self.narrator.named(until(event.what, event.until_s, event.then))
            case events.FaultSeen():
                line.note = self.narrator.named(event.error)
            case events.LinkAccused():
                line.note = f"no exchange with {self.narrator.name(event.peer)}"
            case events.RunFinished():
                line.phase, line.note = "done", ""
            case _:
                pass

    def _at(self, round_number: int, epoch: int) -> None:
        if (round_number, epoch) > (self.round, self.epoch):
            self.round, self.epoch = round_number, epoch

    def _tell(self, line: PeerLine, event: events.ObservedEvent) -> None:
        match event:
            case events.RoundCommitted() if event.round in self.committed:
                return
            case events.PeerLeft() if self.complete():
                return  # they all do, at the end
            case events.CoordinatorChanged() if event.me:
                self.last = f"{line.name} coordinates"
            case events.RoundCommitted() | events.PeerRemoved() | events.PeerLeft():
                self.last = self.narrator.sentence(event)
            case events.FaultSeen() | events.LinkAccused():
                self.last = f"{line.name}: {self.narrator.sentence(event)}"
            case _:
                pass

    # ---- figures

    def trained_rounds(self) -> list[RoundCommitted]:
        """The committed rounds in which something was learned, oldest first: round 0 only brings model 0 to everyone."""
        return [self.committed[number] for number in sorted(self.committed) if number > 0]

    def accuracies(self) -> list[float]:
        """Of the committed rounds that have one."""
        return [event.accuracy for event in self.trained_rounds() if event.accuracy is not None]

    def complete(self) -> bool:
        """Every round of the run is committed."""
        return all(number in self.committed for number in range(1, self.rounds + 1))

    def disagreements(self) -> list[str]:
        """Who held something else than what was committed; empty when all digests agree."""
        found: list[str] = []
        for number, digests in sorted(self.installed.items()):
            commit = self.committed.get(number)
            expected = commit.digest if commit else next(iter(digests.values()))
            found += [
                f"round {number}: {self.names[index]} holds {digest[:8]}, committed is {expected[:8]}"
                for index, digest in sorted(digests.items())
                if digest != expected
            ]
        return found

    def unseen(self) -> list[int]:
        """Committed rounds whose model no peer told of, so that nothing can be compared."""
        return [event.round for event in self.trained_rounds() if event.round not in self.installed]

    def digests_agree(self) -> bool:
        """Every peer held, for every committed round that it installed, the committed model; and some peer did for each."""
        return bool(self.trained_rounds()) and not self.disagreements() and not self.unseen()

"""A whole swarm as one of its peers knows it: that peer's status, peers, rounds and events in, a `SwarmModel` for the views out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pyfl import events
from pyfl.cli.swarm_model import PeerLine, SwarmModel
from pyfl.events import RoundCommitted, Stamped
from pyfl.narrator import until
from pyfl.peer.status import PeerEntry, RoundEntry, Status

__all__ = ["Attached"]


@dataclass(slots=True)
class Attached:
    """`began`: the monotonic clock's seconds when the peer was started. Its own line is the first."""

    began: float
    model: SwarmModel = field(init=False)
    finished: bool = False
    """The peer said that the run is over."""
    _told: bool = False
    """The peer's own events say what it does."""

    def __post_init__(self) -> None:
        self.model = SwarmModel([], 0, self.began)

    def remember(self, rounds: Sequence[RoundEntry]) -> list[int]:
        """Take in the rounds that were committed before; returns their numbers."""
        for entry in rounds:
            self.model.committed.setdefault(
                entry.round,
                RoundCommitted(
                    entry.round, entry.epoch, entry.contributors, entry.model, entry.void, entry.accuracy, entry.loss, entry.train_s,
                    entry.reduce_s,
                ),
            )  # fmt: skip
        return [entry.round for entry in rounds]

    def look(self, status: Status, peers: Sequence[PeerEntry]) -> bool:
        """Take in where everybody stands now; returns whether peers came or went."""
        model = self.model
        before = model.lines
        ordered = sorted(peers, key=lambda entry: not entry.me)
        for entry in ordered:
            model.narrator.meet(entry.peer, entry.name)
        lines = [self._line(entry, status) for entry in ordered]
        if self._told and before and lines and before[0].peer == lines[0].peer:
            lines[0] = replace(before[0], note=lines[0].note)  # its own events tell more of it, and sooner
        model.names = [line.name for line in lines]
        model.lines = lines
        model.rounds, model.parameters, model.coordinator = status.rounds, status.parameters, status.coordinator
        model.round, model.epoch = max((model.round, model.epoch), (status.round, status.epoch))
        self.finished = self.finished or status.control == "finished"
        return {line.peer for line in before} != {line.peer for line in lines}

    def apply(self, stamped: Stamped) -> RoundCommitted | None:
        """Take in an event of the peer, after the first look; returns a commit that was not known before."""
        self.finished = self.finished or isinstance(stamped.data, events.RunFinished)
        self._told = self._told or isinstance(stamped.data, events.TrainingStarted | events.ModelInstalled)
        return self.model.apply(0, stamped)

    def over(self) -> bool:
        """The run is: its last round is committed, or it was ended by an operator or by void rounds."""
        return self.finished or (self.model.rounds > 0 and self.model.rounds in self.model.committed)

    def _line(self, entry: PeerEntry, status: Status) -> PeerLine:
        name = self.model.narrator.name
        commit = self.model.committed.get(entry.have)
        waiting = self.model.narrator.named(until(status.waiting, status.waiting_until_s, status.waiting_then)) if entry.me else ""
        return PeerLine(
            name(entry.peer), entry.peer, _phase(entry, status), max(status.round, -1), entry.samples,
            status.digest if entry.me else commit.digest if commit else "", f"waits for {waiting}" if waiting else "",
        )  # fmt: skip


def _phase(entry: PeerEntry, status: Status) -> str:
    """In the words of the demo's view: `holding` means that a round is committed and held, so the peer is up to date."""
    if not entry.phase or (entry.me and not status.run):
        return "joining"
    return "waiting" if entry.phase == "holding" else entry.phase

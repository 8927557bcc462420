"""From events to spans of time: what each peer did from when to when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyfl import events
from pyfl.events import Stamped

__all__ = ["Span", "phase_begun", "phase_spans"]

DONE = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A peer in a phase for a round, from `begin` to `end` (Unix seconds)."""

    peer: str
    phase: str
    round: int
    epoch: int
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


@dataclass(slots=True)
class _Open:
    phase: str
    round: int
    epoch: int
    begin: float


def phase_spans(told: Iterable[Stamped], heard: Mapping[str, float]) -> list[Span]:
    """Training, waiting for others, adding up, holding until the commit, fetching: of every peer that tells, oldest first.

    What still goes on ends where knowledge does: when the peer was `heard` of last, or others saw it die.
    """
    going: dict[str, _Open] = {}
    last_word: dict[str, float] = {}
    gone: dict[str, float] = {}
    found: list[Span] = []

    def change(peer: str, at: float, phase: str, number: int, epoch: int) -> None:
        before = going.pop(peer, None)
        if before is not None and at > before.begin:
            found.append(Span(peer, before.phase, before.round, before.epoch, before.begin, at))
        if phase:
            going[peer] = _Open(phase, number, epoch, at)

    for stamped in told:
        last_word[stamped.peer] = stamped.time
        if isinstance(stamped.data, events.PeerLeft) and stamped.data.peer != stamped.peer:
            gone[stamped.data.peer] = stamped.time
        if isinstance(stamped.data, events.PeerJoined):
            gone.pop(stamped.data.peer, None)
        to = phase_begun(stamped.data)
        if to is not None:
            epoch = getattr(stamped.data, "epoch", going[stamped.peer].epoch if stamped.peer in going else 1)
            change(stamped.peer, stamped.time, to, getattr(stamped.data, "round", 0), epoch)
    for peer in list(going):
        end = gone.get(peer, 0.0) if gone.get(peer, 0.0) > last_word[peer] else max(last_word[peer], heard.get(peer, 0.0))
        change(peer, end, DONE, 0, 0)
    return sorted(found, key=lambda span: span.begin)


def phase_begun(event: events.ObservedEvent) -> str | None:
    """The phase that begins with an event; empty: one ends and none begins; None: it says nothing of that."""
    match event:
        case events.TrainingStarted():
            return "training"
        case events.TrainingEnded():
            return "waiting"
        case events.ReduceStarted():
            return "reducing"
        case events.ResultHeld():
            return "holding"
        case events.PullStarted():
            return "joining"
        case events.ModelInstalled() | events.RunFinished():
            return DONE
        case _:
            return None

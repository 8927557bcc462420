"""From events to spans of time: what each peer did from when to when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyfl import events
from pyfl.events import Stamped

__all__ = ["Span", "phase_spans", "present_phases"]

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


def phase_spans(told: Iterable[Stamped], now: float) -> list[Span]:
    """Training, waiting for others, adding up, holding until the commit, fetching: of every peer that tells, oldest first.

    What is still going on ends `now`, at a peer that died when others saw it die.
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
        to = _phase(stamped.data)
        if to is not None:
            epoch = getattr(stamped.data, "epoch", going[stamped.peer].epoch if stamped.peer in going else 1)
            change(stamped.peer, stamped.time, to, getattr(stamped.data, "round", 0), epoch)
    for peer in list(going):
        end = now if gone.get(peer, 0.0) < last_word[peer] else gone[peer]
        change(peer, end, DONE, 0, 0)
    return sorted(found, key=lambda span: span.begin)


def _phase(event: events.ObservedEvent) -> str | None:
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


def present_phases(told: Iterable[Stamped]) -> dict[str, tuple[str, int]]:
    """(phase, round) that each peer's own newest words say; finer than the list of peers, which knows only the swarm's phase."""
    found: dict[str, tuple[str, int]] = {}
    for stamped in told:
        to = _phase(stamped.data)
        if to is not None:
            found[stamped.peer] = (to, getattr(stamped.data, "round", 0))
    return found

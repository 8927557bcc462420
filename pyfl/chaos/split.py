"""What each side of a partition committed while it was cut off, and how soon all held the same again: from what the peers said. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import msgspec

from pyfl import events
from pyfl.chaos.chronicle import Said
from pyfl.chaos.injection import Injected
from pyfl.chaos.verdict import Violation

__all__ = ["Split", "broken_by", "split"]

IN_FLIGHT_S = 1.0
"""What the other side sent before the cut is taken in within so long; an election, which a commit of one's own would need, takes longer."""


class Split(msgspec.Struct, frozen=True):
    """Of a partition."""

    sides: tuple[tuple[int, ...], tuple[int, ...]]
    """Peers by index; the victims first."""
    commits: tuple[tuple[int, ...], tuple[int, ...]]
    """The rounds that each side committed while it was cut off."""
    equal_s: float | None
    """From the healing until every peer held the furthest one's round with the same digest; None: has not happened."""


def split(injected: Injected, said: Sequence[Said], peers: int, others: Sequence[Injected] = ()) -> Split | None:
    """By the events in `said` so far; who holds what is seen until another fault begins. None for a fault that makes no two sides."""
    if injected.planned.kind != "partition" or injected.planned.shape == "one-way":
        return None
    first = tuple(sorted(injected.victims))
    second = tuple(index for index in range(peers) if index not in first)
    again = min((other.at for other in others if other.at > injected.at), default=float("inf"))
    known = sorted(said, key=_when)
    until = float("inf") if injected.ended is None else injected.ended
    told = _told(known, first, until), _told(known, second, until)
    return Split(
        (first, second),
        (_committed(told[0], told[1], injected.cut_at), _committed(told[1], told[0], injected.cut_at)),
        None if injected.ended is None else _equal_s(known, injected.ended, again, peers),
    )


def _told(said: Sequence[Said], side: Sequence[int], until: float) -> dict[int, float]:
    """When a side first spoke of each commit."""
    told: dict[int, float] = {}
    for who, event in said:
        if who in side and event.monotonic <= until and isinstance(event.data, events.RoundCommitted):
            told.setdefault(event.data.round, event.monotonic)
    return told


def _committed(own: dict[int, float], others: dict[int, float], cut_at: float) -> tuple[int, ...]:
    def heard(number: int, when: float) -> bool:
        return when - cut_at <= IN_FLIGHT_S and others.get(number, when) < when

    return tuple(number for number, when in own.items() if when > cut_at and not heard(number, when))


def _equal_s(said: Sequence[Said], healed: float, again: float, peers: int) -> float | None:
    have: dict[int, tuple[int, str]] = {}

    def equal() -> bool:
        return len(have) == peers and len(set(have.values())) == 1

    healing = bisect_right(said, healed, key=_when)
    for entry in said[:healing]:
        _take(have, entry)
    if equal():
        return 0.0
    for entry in said[healing : bisect_left(said, again, key=_when)]:
        _take(have, entry)
        if equal():
            return round(_when(entry) - healed, 3)
    return None


def _when(said: Said) -> float:
    return said.event.monotonic


def _take(have: dict[int, tuple[int, str]], said: Said) -> None:
    match said.event.data:
        case events.RunAdopted():
            have.pop(said.who, None)  # another process
        case events.ModelInstalled(round=number, digest=digest):
            have[said.who] = (number, digest)
        case _:
            pass


def broken_by(injected: Injected, sides: Split, *, last: bool) -> Iterator[Violation]:
    """What a partition must not do: let both sides commit, or, if it was the `last` fault, leave anyone behind."""
    if all(sides.commits):
        first, second = (", ".join(map(str, rounds)) for rounds in sides.commits)
        yield Violation("I2", injected.round, f"Both sides of partition #{injected.number} committed: rounds {first}; and {second}.")
    if sides.equal_s is None and last:
        yield Violation("I5", injected.round, f"After partition #{injected.number} the peers never all held the same round again.")

"""How long a fault was not noticed, held the swarm up, and kept its victims away: from what the peers said. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from pyfl import events
from pyfl.chaos.chronicle import Said
from pyfl.chaos.injection import Injected
from pyfl.chaos.plan import TAKES_LIFE

__all__ = ["Timing", "measure", "members_by_round", "sent_by_round"]


class Timing(msgspec.Struct, frozen=True):
    """Seconds from the fault (`detect`, `repair`) and from its end (`hold`, `rejoin`); None: has not happened."""

    detect_s: float | None = None
    detected_by: str = ""
    """The event that first named a victim."""
    repair_s: float | None = None
    repair_round: int = -1
    hold_s: float | None = None
    """Until every victim held the newest model of that moment."""
    rejoin_s: float | None = None
    """Until a commit lists every victim for a training that it began after the end."""


def measure(injected: Injected, said: Sequence[Said], others: Sequence[Injected] = ()) -> Timing:
    """By the events in `said` so far, oldest first. What comes after another fault of the same victims is that one's."""
    again = min((o.at for o in others if o.at > injected.at and set(o.victims) & set(injected.victims)), default=None)
    if again is not None:
        said = [entry for entry in said if entry.event.monotonic < again]
    after = [entry for entry in said if entry.event.monotonic > injected.at]
    until = injected.ended if injected.ended is not None and injected.planned.kind not in TAKES_LIFE else float("inf")
    detected = min((e for e in after if _when(e) <= until and _names(injected, e)), key=_when, default=None)
    repaired = min(
        (e for e in after if isinstance(e.event.data, events.RoundCommitted) and e.event.data.round > injected.committed_before),
        key=_when, default=None,
    )  # fmt: skip
    hold, rejoin = _back(injected, said)
    return Timing(
        None if detected is None else _since(injected.at, _when(detected)),
        "" if detected is None else str(detected.event.data.__struct_config__.tag),
        None if repaired is None else _since(injected.at, _when(repaired)),
        -1 if repaired is None or not isinstance(repaired.event.data, events.RoundCommitted) else repaired.event.data.round,
        hold, rejoin,
    )  # fmt: skip


def _when(said: Said) -> float:
    return said.event.monotonic


def _since(begin: float, when: float) -> float:
    return round(max(0.0, when - begin), 4)


def _names(injected: Injected, said: Said) -> bool:
    """Whether a peer that could see it says something of a victim."""
    if said.who in injected.victims and injected.planned.kind in {*TAKES_LIFE, "stop"}:
        return False
    match said.event.data:
        case events.PeerLeft(peer=peer) | events.PeerRemoved(peer=peer) | events.LinkAccused(peer=peer):
            return peer in injected.ids
        case events.CoordinatorChanged(coordinator=coordinator):
            return injected.coordinator and coordinator not in injected.ids
        case events.Waiting(what=what):
            return any(victim in what for victim in injected.ids)
        case events.FaultSeen():
            return injected.planned.kind == "disk" and said.who in injected.victims
        case _:
            return False


def _back(injected: Injected, said: Sequence[Said]) -> tuple[float | None, float | None]:
    """(hold_s, rejoin_s), each when it is so for all victims."""
    if injected.ended is None:
        return None, None
    listed: dict[int, tuple[float, frozenset[str]]] = {}
    for entry in said:
        if isinstance(entry.event.data, events.RoundCommitted):
            listed.setdefault(entry.event.data.round, (_when(entry), frozenset(entry.event.data.contributors)))
    holds: list[float] = []
    rejoins: list[float] = []
    for victim in injected.victims:
        own = [entry for entry in said if entry.who == victim]
        held = _first_hold(injected, own)
        if held is not None:
            holds.append(held)
        ids = {entry.event.peer for entry in own}
        trained = [e.event.data.round for e in own if _when(e) > injected.ended and isinstance(e.event.data, events.TrainingEnded)]
        commits = (listed[number] for number in trained if number in listed)
        back = next((when for when, contributors in commits if contributors & ids and when > injected.ended), None)
        if back is not None:
            rejoins.append(back)
    return _all(injected, holds), _all(injected, rejoins)


def _all(injected: Injected, times: list[float]) -> float | None:
    if injected.ended is None or len(times) < len(injected.victims):
        return None
    return _since(injected.ended, max(times))


def _first_hold(injected: Injected, own: Sequence[Said]) -> float | None:
    """When a victim first held the target round: before the end if it never lost it."""
    restarted = injected.planned.kind in TAKES_LIFE
    for entry in own:
        data = entry.event.data
        if isinstance(data, events.ModelInstalled) and data.round >= injected.target_round:
            if restarted and injected.ended is not None and _when(entry) < injected.ended:
                continue
            return _when(entry)
    return None


def sent_by_round(said: Iterable[Said]) -> dict[int, int]:
    """Bytes that all peers sent from one installed model to the next, by the later one's round.

    What a process had sent since its last model when it was killed is in nobody's records.
    """
    total: dict[int, int] = {}
    before: dict[int, int] = {}
    for index, event in said:
        if isinstance(event.data, events.ResourcesUsed):
            sent = event.data.bytes_sent
            last = before.get(index, 0)
            more = sent - last if sent >= last else sent  # another process counts from 0
            total[event.data.round] = total.get(event.data.round, 0) + more
            before[index] = sent
    return total


def members_by_round(said: Iterable[Said]) -> dict[int, int]:
    """How many peers were in each round's last reduce, receivers included: a round without faults sends 2 (members - 1) models."""
    reduces = (event.data for _, event in said if isinstance(event.data, events.ReduceStarted))
    return {reduce.round: len(reduce.contributors) + len(reduce.receivers) for reduce in reduces}

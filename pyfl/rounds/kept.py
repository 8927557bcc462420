"""Finished segments that outlive an epoch: said in reports, frozen in the record, given to whoever lacks them.

A finished segment is a function of the round's scales and its set of contributors alone. So when a reduce is begun again with the same
contributors, around a broken link or without a dead receiver, what is finished stays, and only goes down. After a contributor's
death nothing of the kind is left: every result contained the dead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from pyfl.rounds.records import RoundRecord
from pyfl.tiers import Plan

__all__ = ["UNFINISHED", "covers", "giver", "holders_of", "kept_by", "pack", "same_sum", "unpack", "with_kept"]

UNFINISHED: Mapping[str, bytes] = {}
"""Nothing is kept: no member has finished anything that still counts."""


def pack(segments: Iterable[int]) -> bytes:
    """A set of segments as bits, the lowest first; empty for none."""
    number = 0
    for segment in segments:
        number |= 1 << segment
    return number.to_bytes((number.bit_length() + 7) // 8, "little")


def unpack(bitmap: bytes, segments: int) -> frozenset[int]:
    """The set again, of segments below `segments`."""
    number = int.from_bytes(bitmap, "little")
    return frozenset(segment for segment in range(segments) if number >> segment & 1)


def covers(bitmap: bytes, part: bytes) -> bool:
    """Whether every segment of `part` is in `bitmap`."""
    return not int.from_bytes(part, "little") & ~int.from_bytes(bitmap, "little")


def same_sum(a: RoundRecord, b: RoundRecord) -> bool:
    """Whether two reduces have the same result, bit for bit: of the same attempt, so with its scales, and by the same contributors."""
    return (a.number, a.attempt, a.total_samples) == (b.number, b.attempt, b.total_samples) and _contributors(a) == _contributors(b)


def _contributors(record: RoundRecord) -> set[tuple[str, int]]:
    return {(member.peer, member.samples) for member in record.members if member.samples}


def with_kept(before: RoundRecord, after: RoundRecord, finished: Mapping[str, bytes]) -> RoundRecord:
    """The record of the epoch after `before`, with what its members finished in `before`, if that is of any use."""
    if not same_sum(before, after):
        return after
    kept = tuple((member.slot, bits) for member in after.members if (bits := finished.get(member.peer, b"")))
    return replace(after, kept=kept)


def kept_by(record: RoundRecord, peer: str, segments: int) -> frozenset[int]:
    """The segments that a record counts on a peer to have from the epoch before."""
    member = record.member(peer)
    bitmap = next((bits for slot, bits in record.kept if member and slot == member.slot), b"")
    return unpack(bitmap, segments)


def holders_of(record: RoundRecord, segments: int) -> list[frozenset[int]]:
    """For each segment the slots that have it from the epoch before."""
    live = {member.slot for member in record.members}
    holders: list[set[int]] = [set() for _ in range(segments)]
    for slot, bitmap in record.kept:
        for segment in unpack(bitmap, segments) if slot in live else ():
            holders[segment].add(slot)
    return [frozenset(slots) for slots in holders]


def giver(plan: Plan, slot: int, holders: frozenset[int], segment: int, avoid: frozenset[tuple[int, int]]) -> int:
    """From which slot a slot without a kept segment gets it: its parent, or at the root a holder that it can reach; -1 if there is none."""
    if slot != plan.root:
        return plan.parent[slot]
    reachable = sorted(h for h in holders if (h, slot) not in avoid and (slot, h) not in avoid)
    return reachable[segment % len(reachable)] if reachable else -1

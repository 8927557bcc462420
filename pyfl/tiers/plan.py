"""One segment's tree over a round's slots: parents and children of every live member.

A pure function of the record: every peer draws the same tree. Slots never change within an attempt; when members die, in each
tree a dead member's position goes to its first live child, which keeps its own too.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from pyfl.tiers.shapes import Tiers

__all__ = ["Plan", "plan_segment"]

NOBODY = -1


class Plan(msgspec.Struct, frozen=True):
    """`parent[slot]` is a slot, or -1 for the root and for absent slots; `children[slot]` in order of position."""

    root: int
    parent: tuple[int, ...]
    children: tuple[tuple[int, ...], ...]

    def subtree(self, slot: int) -> list[int]:
        """The slot and everything below it."""
        found = [slot]
        for member in found:
            found.extend(self.children[member])
        return found


@lru_cache(maxsize=4096)
def _plan(slots: int, live: frozenset[int], k: int, start: int, avoid: frozenset[tuple[int, int]]) -> Plan:
    holder = [NOBODY] * slots  # who holds each position, after the living have taken over from the dead
    top = [NOBODY] * slots  # each slot's highest position
    for position in range(slots - 1, -1, -1):
        slot = (position + start) % slots
        if slot not in live:
            below = range(k * position + 1, min(k * position + k, slots - 1) + 1)
            slot = next((holder[child] for child in below if holder[child] != NOBODY), NOBODY)
        holder[position] = slot
        if slot != NOBODY:
            top[slot] = position
    parent = [NOBODY] * slots
    order = sorted(live, key=lambda slot: top[slot])
    for slot in order[1:]:
        above = (top[slot] - 1) // k
        while holder[above] == NOBODY:  # a dead member without living descendants cannot be above a living one
            above = (above - 1) // k
        parent[slot] = holder[above]
    if avoid:
        _reroute(parent, order, avoid)
    children: list[list[int]] = [[] for _ in range(slots)]
    for slot in order[1:]:
        children[parent[slot]].append(slot)
    return Plan(order[0], tuple(parent), tuple(tuple(c) for c in children))


def _reroute(parent: list[int], order: list[int], avoid: frozenset[tuple[int, int]]) -> None:
    """Give a child whose parent it cannot reach the nearest other parent, up the tree first; keeps it if there is none."""

    def unreachable(a: int, b: int) -> bool:
        return (a, b) in avoid or (b, a) in avoid

    def above(slot: int) -> list[int]:
        path: list[int] = []
        while parent[slot] != NOBODY:
            slot = parent[slot]
            path.append(slot)
        return path

    for slot in order[1:]:
        if not unreachable(slot, parent[slot]):
            continue
        others = above(slot)[1:] + [other for other in order if other != slot and slot not in above(other)]
        parent[slot] = next((other for other in others if not unreachable(slot, other)), parent[slot])


def plan_segment(tiers: Tiers, slots: int, live: frozenset[int], segment: int, avoid: frozenset[tuple[int, int]] = frozenset()) -> Plan:
    """The tree of one segment.

    `slots`: their number when the attempt began; `live`: those still members (at least one);
    `avoid`: pairs of slots that cannot reach each other.
    """
    if not live or not live <= frozenset(range(slots)):
        raise ValueError(f"live slots {sorted(live)} are not a non-empty part of the {slots} slots")
    k, trees = tiers.resolve(slots)
    return _plan(slots, live, k, (segment % trees) * slots // trees, avoid)

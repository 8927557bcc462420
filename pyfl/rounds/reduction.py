"""One member's part in one reduce: which segment to fill, receive, add, send up, send down and finish, and when.

Pure: transfers that ended go in, actions come out. Memory beside the result is `scratch` segments. Receives for partials are posted in
ascending order of (segment, child), and so are leaves sent; what was added up is sent at once. So the lowest unfinished segment has
buffers everywhere, nobody keeps it back, and the swarm cannot deadlock.
Segments that the record keeps from the epoch before are not added up again: they only go down, to whoever lacks them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from pyfl.rounds.actions import (
    Action,
    Add,
    Added,
    Adopt,
    Fill,
    Finish,
    Place,
    PostReceive,
    PostSend,
    SegmentTag,
    TransferEnded,
)
from pyfl.rounds.kept import giver, holders_of
from pyfl.rounds.records import RoundRecord
from pyfl.tiers import Plan, Tiers, plan_segment

__all__ = ["Reduction"]

SENDS_AHEAD = 8  # leaf segments on their way up at once: enough to keep a link full, few enough to stay in order


@dataclass(slots=True)
class _Segment:
    """What is left to do for one segment."""

    parent: str | None
    partials: dict[str, tuple[str, ...]]
    """Children that will send a partial, and the contributors in it."""
    children: tuple[str, ...]
    """Who gets the result from here."""
    contributes: bool
    """This subtree has something to send up."""
    filled: bool = False
    awaited: set[str] = field(default_factory=set[str])
    down: int = 0
    finished: bool = False
    kept: int = 0
    """Vectors that a segment of the epoch before consists of; 0: it is added up anew."""
    coming: int = 0
    """Of these, still to come."""


class Reduction:
    """The state of one reduce at one member."""

    def __init__(
        self, record: RoundRecord, me: str, tiers: Tiers, segments: int, scratch: int, vector: int = 0, beside: tuple[int, ...] = ()
    ) -> None:
        """`segments`: how many the vector has; `scratch`: how many buffers of a segment there are (at least 1).

        `vector`: which is added up, the model or the statistics' sum; see `Place`. `beside`: for each segment how many vectors of
        the server state a finished one has beside it; empty for none.
        """
        self.record = record
        self.progress = 0
        self._round, self._epoch = record.number, record.epoch
        self._vector = vector
        holders = holders_of(record, segments) if record.kept else [frozenset[int]()] * segments
        self._segments = [_situation(record, me, tiers, index, holders[index], beside[index] if beside else 0) for index in range(segments)]
        self._unfinished = segments
        self._free = deque(range(scratch))
        self._partials = deque((index, child) for index, segment in enumerate(self._segments) for child in segment.partials)
        self._leaves = deque(index for index, segment in enumerate(self._segments) if not segment.partials and segment.contributes)
        self._given = deque(index for index, segment in enumerate(self._segments) if segment.kept and not segment.coming)
        self._rising = self._giving = 0
        self._ahead = SENDS_AHEAD if scratch > 2 else scratch  # with hardly any memory as little is under way
        self._failed: set[str] = set()

    @property
    def finished(self) -> bool:
        """Every segment has its result."""
        return self._unfinished == 0

    @property
    def count(self) -> tuple[int, int]:
        """How many segments are finished, and of how many."""
        return len(self._segments) - self._unfinished, len(self._segments)

    @property
    def done(self) -> frozenset[int]:
        """The segments whose result is final in this peer's memory."""
        return frozenset(index for index, segment in enumerate(self._segments) if segment.finished or (segment.kept and not segment.coming))

    def waiting_for(self) -> list[str]:
        """The peers that the lowest unfinished segment is waiting for."""
        for segment in self._segments:
            if segment.finished:
                continue
            below = segment.awaited or (set(segment.children) if segment.down else set[str]())
            return sorted(below or ({segment.parent} if segment.parent else set()))
        return []

    def start(self) -> list[Action]:
        """The first actions."""
        actions: list[Action] = []
        for index, segment in enumerate(self._segments):
            segment.awaited = set(segment.partials)
            if segment.coming:
                actions.extend(self._await_kept(index))
            if segment.kept or segment.partials or segment.contributes:
                continue
            if segment.parent is None:  # a root without any contributor below it or at it
                actions.append(Fill(index))
                actions.extend(self._descend(index))
            else:
                actions.append(self._await_result(index))
        return actions + self._advance()

    def ended(self, transfer: TransferEnded) -> list[Action]:
        """A transfer of this reduce succeeded."""
        self.progress += 1
        index, segment = transfer.tag.segment, self._segments[transfer.tag.segment]
        if transfer.tag.kind == "u" and transfer.sending:
            self._rising -= not segment.partials
            return [self._await_result(index), *self._advance()]
        if transfer.tag.kind == "u":
            return [Add(index, transfer.place.scratch, transfer.peer, segment.partials[transfer.peer])]
        if not transfer.sending and segment.kept:
            segment.coming -= 1
            return [] if segment.coming else self._give(index)
        if not transfer.sending:
            return self._descend(index)
        segment.down -= 1
        if segment.down:
            return []
        self._giving -= bool(segment.kept)
        return [*self._finish(index), *self._advance()]

    def added(self, added: Added) -> list[Action]:
        """A partial is in the sum; its scratch is free again."""
        segment = self._segments[added.segment]
        segment.awaited.discard(added.peer)
        self._free.append(added.scratch)
        return self._advance() if segment.awaited else [*self._ascend(added.segment), *self._advance()]

    def _advance(self) -> list[Action]:
        """Post what buffers and the window allow, lowest segments first."""
        actions: list[Action] = []
        while self._partials and self._free:
            index, child = self._partials.popleft()
            if not self._segments[index].filled:
                self._segments[index].filled = True
                actions.append(Fill(index))
            place = Place("scratch", index, self._vector, self._free.popleft())
            actions.append(PostReceive(child, self._tag("u", index), place))
        while self._leaves and self._rising < self._ahead:
            index = self._leaves.popleft()
            self._rising += self._segments[index].parent is not None
            actions.append(Fill(index))
            actions.extend(self._ascend(index))
        while self._given and self._giving < SENDS_AHEAD:
            actions.extend(self._give(self._given.popleft()))
        return actions

    def _ascend(self, index: int) -> list[Action]:
        """The partial is whole: it goes up, or at the root it is the result."""
        parent = self._segments[index].parent
        if parent is None:
            return self._descend(index)
        return [PostSend(parent, self._tag("u", index), Place("result", index, self._vector))]

    def _await_result(self, index: int) -> Action:
        parent = self._segments[index].parent
        if parent is None:
            raise AssertionError(f"the root of segment {index} waits for a result from above")
        return PostReceive(parent, self._tag("d", index), Place("result", index, self._vector))

    def _descend(self, index: int) -> list[Action]:
        segment = self._segments[index]
        segment.down = len(segment.children)
        if not segment.children:
            return self._finish(index)
        return [PostSend(child, self._tag("d", index), Place("result", index, self._vector)) for child in segment.children]

    def _await_kept(self, index: int) -> list[Action]:
        segment = self._segments[index]
        if segment.parent is None:
            raise AssertionError(f"nobody is to give segment {index}, which is kept")
        return [PostReceive(segment.parent, self._tag("f", index, vector), self._kept(index, vector)) for vector in range(segment.kept)]

    def _give(self, index: int) -> list[Action]:
        """A kept segment is whole here: hand it on to whoever lacks it."""
        segment = self._segments[index]
        segment.down = len(segment.children) * segment.kept
        if not segment.down:
            return self._finish(index)
        self._giving += 1
        places = [(self._tag("f", index, vector), self._kept(index, vector)) for vector in range(segment.kept)]
        return [PostSend(child, tag, place) for child in segment.children for tag, place in places]

    def _kept(self, index: int, vector: int) -> Place:
        return Place("beside", index, vector) if vector else Place("result", index, self._vector)

    def _finish(self, index: int) -> list[Action]:
        segment = self._segments[index]
        self._unfinished -= 1
        segment.finished = True
        last = self._unfinished == 0
        return [Adopt(index, last) if segment.kept else Finish(index, last)]

    def _tag(self, kind: str, index: int, vector: int = 0) -> SegmentTag:
        return SegmentTag(kind, self._round, self._epoch, index, vector)

    def first_failure(self, peer: str) -> bool:
        """True once a peer: its transfers fail together, and one accusation is enough."""
        if peer in self._failed:
            return False
        self._failed.add(peer)
        return True


def _situation(record: RoundRecord, me: str, tiers: Tiers, index: int, holders: frozenset[int], beside: int) -> _Segment:
    slots = {member.slot: member for member in record.members}
    own = next(member.slot for member in record.members if member.peer == me)
    plan = plan_segment(tiers, record.slots, frozenset(slots), index, frozenset(record.avoid))
    if holders and (plan.root in holders or giver(plan, plan.root, holders, index, frozenset(record.avoid)) >= 0):
        return _kept_situation(record, own, plan, index, holders, 1 + beside)
    partials: dict[str, tuple[str, ...]] = {}
    for child in plan.children[own]:
        contributors = tuple(slots[slot].peer for slot in plan.subtree(child) if slots[slot].samples)
        if contributors:
            partials[slots[child].peer] = contributors
    parent = plan.parent[own]
    return _Segment(
        parent=slots[parent].peer if parent >= 0 else None,
        partials=partials,
        children=tuple(slots[child].peer for child in plan.children[own]),
        contributes=bool(slots[own].samples) or bool(partials),
    )


def _kept_situation(record: RoundRecord, own: int, plan: Plan, index: int, holders: frozenset[int], vectors: int) -> _Segment:
    """The segment is finished at the holders, and goes down to the others."""
    peers = {member.slot: member.peer for member in record.members}
    source = {slot: giver(plan, slot, holders, index, frozenset(record.avoid)) for slot in peers if slot not in holders}
    return _Segment(
        parent=peers[source[own]] if own in source else None,
        partials={},
        children=tuple(peers[slot] for slot, from_slot in sorted(source.items()) if from_slot == own),
        contributes=False,
        kept=vectors,
        coming=vectors if own in source else 0,
    )

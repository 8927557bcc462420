"""Laws of the reduction: over any tree, with any number of buffers, in any order, it ends, and each contributor is in each sum once."""

from __future__ import annotations

import random
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from pyfl.rounds.actions import Action, Add, Added, Fill, Finish, Place, PostReceive, PostSend, SegmentTag, TransferEnded
from pyfl.rounds.records import Member, RoundRecord
from pyfl.rounds.reduction import Reduction
from pyfl.tiers import Tiers, chain, direct, rotated, star, tree

orders = st.integers(0, 2**32).map(random.Random)
SHAPES = (rotated(2), rotated(4), tree(2), tree(3), star(), chain(), direct())


class Swarm:
    """Members whose segments are integers and move in an order of the test's choice."""

    def __init__(self, record: RoundRecord, tiers: Tiers, segments: int, scratch: int, order: random.Random) -> None:
        self.record, self._order = record, order
        self.own = {m.peer: 1 << (8 * m.slot) if m.samples else 0 for m in record.members}
        """A byte a member: counted twice shows as a 2 in it."""
        self.reductions = {m.peer: Reduction(record, m.peer, tiers, segments, scratch) for m in record.members}
        self.result: dict[str, dict[int, int]] = {peer: {} for peer in self.own}
        self.scratch: dict[str, dict[int, int]] = {peer: {} for peer in self.own}
        self.finished: dict[str, list[int]] = {peer: [] for peer in self.own}
        self.most_scratch = 0
        self._posts: dict[tuple[str, str, SegmentTag], dict[bool, Place]] = {}
        self._inputs: deque[tuple[str, TransferEnded | Added]] = deque()

    def run(self) -> None:
        for peer, reduction in self.reductions.items():
            self._perform(peer, reduction.start())
        while True:
            ready = [key for key, ends in self._posts.items() if len(ends) == 2]
            if self._inputs and (not ready or self._order.random() < 0.5):
                self._inputs.rotate(-self._order.randrange(len(self._inputs)))
                peer, happened = self._inputs.popleft()
                reduction = self.reductions[peer]
                self._perform(peer, reduction.added(happened) if isinstance(happened, Added) else reduction.ended(happened))
            elif ready:
                self._move(self._order.choice(ready))
            else:
                return

    def _move(self, key: tuple[str, str, SegmentTag]) -> None:
        sender, receiver, tag = key
        ends = self._posts.pop(key)
        value = self.result[sender][tag.segment]
        place = ends[False]
        if place.buffer == "scratch":
            self.scratch[receiver][place.scratch] = value
            self.most_scratch = max(self.most_scratch, place.scratch + 1)
        else:
            self.result[receiver][tag.segment] = value
        self._inputs.append((sender, TransferEnded(receiver, tag, ends[True], True, True)))
        self._inputs.append((receiver, TransferEnded(sender, tag, place, False, True)))

    def _perform(self, peer: str, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Fill():
                    self.result[peer][action.segment] = self.own[peer]
                case Add():
                    self.result[peer][action.segment] += self.scratch[peer].pop(action.scratch)
                    assert action.contributors, "a partial of nobody is not sent"
                    added = Added(self.record.number, self.record.epoch, action.segment, action.scratch, action.peer)
                    self._inputs.append((peer, added))
                case Finish():
                    self.finished[peer].append(action.segment)
                    assert action.last == (len(self.finished[peer]) == len(self.reductions[peer]._segments))
                case PostSend():
                    self._end((peer, action.peer, action.tag), True, action.place)
                case PostReceive():
                    self._end((action.peer, peer, action.tag), False, action.place)
                case _:
                    raise AssertionError(f"a reduction does not ask for {action}")

    def _end(self, key: tuple[str, str, SegmentTag], sending: bool, place: Place) -> None:
        ends = self._posts.setdefault(key, {})
        assert sending not in ends, f"{key} is posted twice"
        ends[sending] = place


@st.composite
def reduces(draw: st.DrawFn) -> tuple[RoundRecord, Tiers, int, int]:
    slots = draw(st.integers(1, 12))
    live = sorted(draw(st.sets(st.integers(0, slots - 1), min_size=1)))
    receivers = draw(st.sets(st.sampled_from(live)))
    slot = st.integers(0, slots - 1)
    avoid = draw(st.sets(st.tuples(slot, slot), max_size=2))
    members = tuple(Member(f"p{s}", s, 0 if s in receivers else 1 + s, b"\0") for s in live)
    record = RoundRecord(3, draw(st.integers(1, 4)), "reduce", members=members, slots=slots, avoid=tuple(sorted(avoid)))
    return record, draw(st.sampled_from(SHAPES)), draw(st.integers(1, 12)), draw(st.integers(1, 3))


@given(reduces(), orders)
def test_every_member_gets_every_contribution_once_in_every_segment(reduce: tuple, order: random.Random) -> None:
    record, tiers, segments, scratch = reduce
    swarm = Swarm(record, tiers, segments, scratch, order)
    swarm.run()
    expected = sum(swarm.own.values())
    for peer, reduction in swarm.reductions.items():
        assert reduction.finished, f"{peer} stands still and waits for {reduction.waiting_for()}: a deadlock"
        assert sorted(swarm.finished[peer]) == list(range(segments))
        assert swarm.result[peer] == dict.fromkeys(range(segments), expected)
    assert swarm.most_scratch <= scratch


@given(st.integers(2, 10), st.sampled_from(SHAPES), orders)
def test_one_buffer_a_member_is_enough(peers: int, tiers: Tiers, order: random.Random) -> None:
    """Each posts in ascending order, so that the lowest unfinished segment has buffers everywhere."""
    members = tuple(Member(f"p{s}", s, 1, b"\0") for s in range(peers))
    swarm = Swarm(RoundRecord(1, 1, "reduce", members=members, slots=peers), tiers, 40, 1, order)
    swarm.run()
    assert all(r.finished for r in swarm.reductions.values()), "with one buffer the swarm stands still"

"""Laws of the reduction: over any tree, with any number of buffers, in any order, it ends, and each contributor is in each sum once."""

from __future__ import annotations

import random
from collections import deque

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from pyfl.rounds.actions import Action, Add, Added, Adopt, Fill, Finish, Place, PostReceive, PostSend, SegmentTag, TransferEnded
from pyfl.rounds.drafts import restart
from pyfl.rounds.kept import covers, kept_by, pack, same_sum, unpack
from pyfl.rounds.records import Member, RoundRecord
from pyfl.rounds.reduction import Reduction
from pyfl.tiers import Tiers, chain, direct, rotated, star, tree

orders = st.integers(0, 2**32).map(random.Random)
SHAPES = (rotated(2), rotated(4), tree(2), tree(3), star(), chain(), direct())


class Swarm:
    """Members whose segments are integers and move in an order of the test's choice."""

    def __init__(
        self, record: RoundRecord, tiers: Tiers, segments: int, scratch: int, order: random.Random, beside: tuple[int, ...] = ()
    ) -> None:
        self.record, self._order = record, order
        self.state: dict[str, dict[tuple[int, int], int]] = {m.peer: {} for m in record.members}
        """What the server step makes beside a finished segment: in this test, its negative."""
        self._beside = beside or (0,) * segments
        self.up: set[int] = set()
        """The segments of which a partial moved."""
        self.own = {m.peer: 1 << (8 * m.slot) if m.samples else 0 for m in record.members}
        """A byte a member: counted twice shows as a 2 in it."""
        self.reductions = {m.peer: Reduction(record, m.peer, tiers, segments, scratch, 0, beside) for m in record.members}
        self.result: dict[str, dict[int, int]] = {peer: {} for peer in self.own}
        self.scratch: dict[str, dict[int, int]] = {peer: {} for peer in self.own}
        self.finished: dict[str, list[int]] = {peer: [] for peer in self.own}
        self.most_scratch = 0
        self._posts: dict[tuple[str, str, SegmentTag], dict[bool, Place]] = {}
        self._inputs: deque[tuple[str, TransferEnded | Added]] = deque()

    def follow(self, before: Swarm) -> None:
        """Go on with the memory that the epoch before left: what was not finished is worth nothing."""
        for peer, reduction in self.reductions.items():
            for segment in before.reductions[peer].done:
                self.result[peer][segment] = before.result[peer][segment]
                for vector in range(self._beside[segment]):
                    self.state[peer][segment, vector + 1] = before.state[peer][segment, vector + 1]
            assert kept_by(self.record, peer, len(self._beside)) <= before.reductions[peer].done, "a record counts on what is not there"
            assert not reduction.count[0]

    def run(self, steps: int = 10**9) -> None:
        for peer, reduction in self.reductions.items():
            self._perform(peer, reduction.start())
        for _ in range(steps):
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

    def check(self, scratch: int) -> None:
        """Every member has every contribution once in every segment, with what belongs beside it."""
        segments, expected = range(len(self._beside)), sum(self.own.values())
        for peer, reduction in self.reductions.items():
            assert reduction.finished, f"{peer} stands still and waits for {reduction.waiting_for()}: a deadlock"
            assert sorted(self.finished[peer]) == list(segments)
            assert self.result[peer] == dict.fromkeys(segments, expected)
            assert self.state[peer] == {(s, v + 1): -expected for s in segments for v in range(self._beside[s])}
        assert self.most_scratch <= scratch

    def _move(self, key: tuple[str, str, SegmentTag]) -> None:
        sender, receiver, tag = key
        ends = self._posts.pop(key)
        place = ends[False]
        assert ends[True].vector == place.vector
        if tag.kind == "u":
            self.up.add(tag.segment)
        if place.buffer == "beside":
            self.state[receiver][tag.segment, place.vector] = self.state[sender][tag.segment, place.vector]
        elif place.buffer == "scratch":
            self.scratch[receiver][place.scratch] = self.result[sender][tag.segment]
            self.most_scratch = max(self.most_scratch, place.scratch + 1)
        else:
            self.result[receiver][tag.segment] = self.result[sender][tag.segment]
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
                case Finish() | Adopt():
                    self.finished[peer].append(action.segment)
                    for vector in range(self._beside[action.segment] if isinstance(action, Finish) else 0):
                        self.state[peer][action.segment, vector + 1] = -self.result[peer][action.segment]
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
    record = RoundRecord(3, draw(st.integers(1, 4)), "reduce", members=members, slots=slots, avoid=tuple(sorted(avoid)), total_samples=99)
    return record, draw(st.sampled_from(SHAPES)), draw(st.integers(1, 12)), draw(st.integers(1, 3))


@given(reduces(), orders)
def test_every_member_gets_every_contribution_once_in_every_segment(reduce: tuple, order: random.Random) -> None:
    record, tiers, segments, scratch = reduce
    swarm = Swarm(record, tiers, segments, scratch, order)
    swarm.run()
    swarm.check(scratch)


@given(st.integers(2, 10), st.sampled_from(SHAPES), orders)
def test_one_buffer_a_member_is_enough(peers: int, tiers: Tiers, order: random.Random) -> None:
    """Each posts in ascending order, so that the lowest unfinished segment has buffers everywhere."""
    members = tuple(Member(f"p{s}", s, 1, b"\0") for s in range(peers))
    swarm = Swarm(RoundRecord(1, 1, "reduce", members=members, slots=peers), tiers, 40, 1, order)
    swarm.run()
    assert all(r.finished for r in swarm.reductions.values()), "with one buffer the swarm stands still"


@st.composite
def interrupted(draw: st.DrawFn) -> tuple[RoundRecord, Tiers, int, int, tuple[int, ...], set[str], set[tuple[int, int]]]:
    record, tiers, segments, scratch = draw(reduces())
    beside = draw(st.sampled_from([(), (2,) * segments, (1,) * (segments // 2) + (0,) * (segments - segments // 2)]))
    members = [m.peer for m in record.members]
    dead = draw(st.sets(st.sampled_from(members), max_size=min(3, len(members) - 1)))
    slot = st.integers(0, record.slots - 1)
    assume(any(m.samples for m in record.members if m.peer not in dead))  # else the round is opened again
    return record, tiers, segments, scratch, beside, dead, draw(st.sets(st.tuples(slot, slot), max_size=2))


@given(interrupted(), orders, st.integers(0, 400))
def test_what_is_kept_of_an_epoch_makes_the_same_sums(story: tuple, order: random.Random, steps: int) -> None:
    """At any moment some die or links break; what members have said to have finished, late or not at all, outlives it or does not."""
    record, tiers, segments, scratch, beside, dead, broken = story
    before = Swarm(record, tiers, segments, scratch, order, beside)
    before.run(steps)
    said = {peer: pack(s for s in reduction.done if order.random() < 0.8) for peer, reduction in before.reductions.items()}
    again = restart(record, dead, broken, said)
    swarm = Swarm(again, tiers, segments, scratch, order, beside)
    swarm.follow(before)
    swarm.run()
    swarm.check(scratch)


def test_a_finished_segment_is_not_added_up_again_for_a_link_or_a_receiver() -> None:
    members = tuple(Member(f"p{s}", s, 0 if s == 3 else 1, b"\0") for s in range(6))
    record = RoundRecord(1, 1, "reduce", members=members, slots=6, total_samples=5)
    for dead, broken in (({"p3"}, set[tuple[int, int]]()), (set[str](), {(0, 1)})):
        before = Swarm(record, rotated(2), 12, 2, random.Random(1))
        before.run(150)
        finished = {peer: pack(reduction.done) for peer, reduction in before.reductions.items()}
        anywhere = frozenset[int]().union(*(unpack(finished[m.peer], 12) for m in members if m.peer not in dead))
        assert 0 < len(anywhere) < 12
        again = Swarm(restart(record, dead, broken, finished), rotated(2), 12, 2, random.Random(2))
        again.follow(before)
        again.run()
        assert again.up == set(range(12)) - anywhere


def test_nothing_is_kept_for_another_sum() -> None:
    members = tuple(Member(f"p{s}", s, 1, b"\0") for s in range(3))
    record = RoundRecord(1, 1, "reduce", members=members, slots=3, total_samples=3)
    said = {m.peer: b"\7" for m in members}
    assert restart(record, set(), {(0, 1)}, said).kept == ((0, b"\7"), (1, b"\7"), (2, b"\7"))
    assert restart(record, {"p1"}, set(), said).kept == ()
    assert not same_sum(record, replace(record, epoch=3, attempt=2)), "another attempt has other scales"


@given(st.sets(st.integers(0, 200)), st.sets(st.integers(0, 200)))
def test_bitmaps_are_sets(a: set[int], b: set[int]) -> None:
    assert unpack(pack(a), 201) == a
    assert unpack(pack(a), 100) == {s for s in a if s < 100}
    assert covers(pack(a), pack(b)) == (b <= a)

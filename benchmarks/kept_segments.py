"""What an interrupted reduce sends again, by what is kept of it: nothing, finished segments, partial sums as well.

Real `Reduction`s over links of equal speed: a peer sends one segment at a time and receives one. A clean reduce is run once for its
length, then once for every moment of 19, spread evenly over it, with something that goes wrong there: a contributor dies, a receiver
dies, a link breaks. Transfers of the epoch after it are counted in % of a clean reduce's. `restart` and `kept` are what the code does
without and with finished segments; `partials` is a bound from below: partial sums are kept as well, known to everyone at once, and
lost only where the result had begun to arrive.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics

from pyfl.rounds.actions import Action, Add, Added, Fill, Finish, Place, PostReceive, PostSend, SegmentTag, TransferEnded
from pyfl.rounds.drafts import restart
from pyfl.rounds.kept import pack
from pyfl.rounds.records import Member, RoundRecord
from pyfl.rounds.reduction import Reduction
from pyfl.tiers import Plan, parse, plan_segment

CASES = ("contributor", "receiver", "link")
MOMENTS = [x / 20 for x in range(1, 20)]
Key = tuple[str, str, SegmentTag]
Slots = frozenset[int]


class Links:
    """Members whose segments are sets of contributors, and the time that their transfers take."""

    def __init__(self, record: RoundRecord, tiers: str, segments: int, scratch: int, rng: random.Random) -> None:
        self.record, self._rng, self.tiers = record, rng, parse(tiers)
        self.members = {m.peer: Reduction(record, m.peer, self.tiers, segments, scratch) for m in record.members}
        self.own = {m.peer: frozenset({m.slot}) if m.samples else Slots() for m in record.members}
        self.partial: dict[str, dict[int, Slots]] = {peer: {} for peer in self.own}
        """By segment whose contributions are in the result's memory, as long as that is a partial sum."""
        self._scratch: dict[str, dict[int, Slots]] = {peer: {} for peer in self.own}
        self._posts: dict[Key, dict[bool, Place]] = {}
        self._matched: list[Key] = []
        self._sending: set[str] = set()
        self._receiving: set[str] = set()
        self._under_way: list[tuple[float, int, Key]] = []
        self.now, self.moved = 0.0, 0
        for peer, reduction in self.members.items():
            self._perform(peer, reduction.start())

    def run(self, until: float = 1e9) -> float:
        """Until a time, or the end; returns when that was. A transfer takes 1 to 1.1."""
        self._begin()
        while self._under_way and self._under_way[0][0] <= until:
            self.now, _, (sender, receiver, tag) = heapq.heappop(self._under_way)
            self._sending.discard(sender)
            self._receiving.discard(receiver)
            self.moved += 1
            ends = self._posts.pop((sender, receiver, tag))
            if tag.kind == "u":
                self._scratch[receiver][ends[False].scratch] = self.partial[sender][tag.segment]
            for peer, other, sending in ((receiver, sender, False), (sender, receiver, True)):
                self._perform(peer, self.members[peer].ended(TransferEnded(other, tag, ends[sending], sending, True)))
            self._begin()
        return self.now

    def _begin(self) -> None:
        waiting: list[Key] = []
        for key in self._matched:
            sender, receiver, tag = key
            if sender in self._sending or receiver in self._receiving:
                waiting.append(key)
                continue
            self._sending.add(sender)
            self._receiving.add(receiver)
            if tag.kind == "d":  # from its first byte on there is no partial sum any more
                self.partial[receiver].pop(tag.segment, None)
            heapq.heappush(self._under_way, (self.now + 1 + self._rng.random() / 10, self._rng.randrange(2**60), key))
        self._matched = waiting

    def _perform(self, peer: str, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Fill():
                    self.partial[peer][action.segment] = self.own[peer]
                case Add():
                    self.partial[peer][action.segment] |= self._scratch[peer].pop(action.scratch)
                    added = Added(self.record.number, self.record.epoch, action.segment, action.scratch, action.peer)
                    self._perform(peer, self.members[peer].added(added))
                case Finish():
                    self.partial[peer].pop(action.segment, None)
                case PostSend():
                    self._post((peer, action.peer, action.tag), True, action.place)
                case PostReceive():
                    self._post((action.peer, peer, action.tag), False, action.place)
                case _:
                    pass

    def _post(self, key: Key, sending: bool, place: Place) -> None:
        ends = self._posts.setdefault(key, {})
        ends[sending] = place
        if len(ends) == 2:
            self._matched.append(key)


def with_partials(links: Links, again: RoundRecord, kept: set[int], segments: int, dead: Slots) -> int:
    """Transfers of an epoch that begins with finished segments and with every partial sum that fits into its trees."""
    slots = {m.slot: m for m in again.members}
    moved = 0
    for segment in set(range(segments)) - kept:
        plan = plan_segment(links.tiers, again.slots, frozenset(slots), segment, frozenset(again.avoid))

        def contributors(slot: int, plan: Plan = plan) -> Slots:
            return frozenset(s for s in plan.subtree(slot) if slots[s].samples)

        def up(slot: int, plan: Plan = plan, segment: int = segment) -> int:
            here = links.partial[slots[slot].peer].get(segment, Slots())
            below = {child: contributors(child) for child in plan.children[slot]}
            whole = links.own[slots[slot].peer].union(*(b for b in below.values() if b <= here))
            if here & dead or whole != here:
                here = Slots()
            return sum(1 + up(child) for child, b in below.items() if b and not b <= here)

        moved += len(slots) - 1 + up(plan.root)
    return moved


def measure(tiers: str, peers: int, segments: int, scratch: int, case: str) -> list[tuple[float, float, float]]:
    """(restart, kept, partials) for each moment, in % of a clean reduce's transfers."""
    rng = random.Random(f"{tiers} {peers} {segments} {case}")
    receiver = peers - 1 if case == "receiver" else -1
    members = tuple(Member(f"p{s}", s, 0 if s == receiver else 1, b"\0") for s in range(peers))
    record = RoundRecord(1, 1, "reduce", members=members, slots=peers, total_samples=peers)
    clean = Links(record, tiers, segments, scratch, rng)
    length = clean.run()
    rows: list[tuple[float, float, float]] = []
    for moment in MOMENTS:
        links = Links(record, tiers, segments, scratch, rng)
        links.run(moment * length)
        dead = Slots() if case == "link" else Slots({receiver if receiver >= 0 else rng.randrange(peers)})
        a, b = sorted(rng.sample(range(peers), 2))
        done = {m.peer: links.members[m.peer].done for m in members if m.slot not in dead}
        if any(len(segs) == segments for segs in done.values()):
            continue  # somebody holds the result: the others pull it
        broken = {(a, b)} if case == "link" else set[tuple[int, int]]()
        lost = {f"p{slot}" for slot in dead}
        again = restart(record, lost, broken, {peer: pack(segs) for peer, segs in done.items()})
        kept = {s for segs in done.values() for s in segs} if again.kept else set[int]()
        finished = sum(len(done) - sum(s in segs for segs in done.values()) for s in kept)
        moved = [Links(r, tiers, segments, scratch, rng) for r in (restart(record, lost, broken), again)]
        for epoch in moved:
            epoch.run()
        counts = (moved[0].moved, moved[1].moved, finished + with_partials(links, again, kept, segments, dead))
        rows.append(tuple(100 * count / clean.moved for count in counts))  # type: ignore[arg-type] - three of them
    return rows


def main() -> None:
    """A line for each way to go wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--peers", default="4,16,64")
    parser.add_argument("--tiers", default="rotated:4,chain,tree:4")
    parser.add_argument("--segments", default="48:11,240:6", help="segments:scratch buffers; of 100 MB and of 1 GB the defaults")
    options = parser.parse_args()
    print(f"{'tiers':<10} {'segments':>8} {'peers':>5}  {'goes wrong':<12} {'restart':>7} {'kept':>7} {'partials':>8}")
    for sizes in options.segments.split(","):
        segments, scratch = map(int, sizes.split(":"))
        for tiers in options.tiers.split(","):
            for peers in map(int, options.peers.split(",")):
                for case in CASES:
                    rows = measure(tiers, peers, segments, scratch, case)
                    restarted, kept, partials = (statistics.mean(column) for column in zip(*rows, strict=True))
                    print(f"{tiers:<10} {segments:>8} {peers:>5}  {case:<12} {restarted:7.1f} {kept:7.1f} {partials:8.1f}", flush=True)


if __name__ == "__main__":
    main()

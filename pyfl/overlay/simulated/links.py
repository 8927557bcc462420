"""Who can reach whom: cut links, partitions, and what a path costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .options import NetworkOptions
    from .process import Process
    from .scheduler import Scheduler

__all__ = ["Links"]


def _pair(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


class Links:
    """The paths between peers, by number. A stopped or ended process is at the end of none."""

    __slots__ = ("_cut", "_group", "_latency", "_one_way", "_options", "_rng", "_slow")

    def __init__(self, scheduler: Scheduler, options: NetworkOptions) -> None:
        self._rng = scheduler.rng
        self._options = options
        self._cut: set[tuple[int, int]] = set()
        self._group: dict[int, int] = {}
        self._latency: dict[tuple[int, int], float] = {}
        self._one_way: set[tuple[int, int]] = set()
        self._slow: dict[tuple[int, int], float] = {}

    def cut(self, a: int, b: int) -> None:
        """Close one link."""
        self._cut.add(_pair(a, b))

    def mend(self, a: int, b: int) -> None:
        """Open one link again."""
        self._cut.discard(_pair(a, b))

    def partition(self, groups: Sequence[Iterable[int]]) -> None:
        """Only members of the same group reach each other; whoever is in none is in the first."""
        self._group = {number: place for place, group in enumerate(groups) for number in group}

    def cut_one_way(self, senders: Iterable[int], receivers: Iterable[int]) -> None:
        """Nothing passes from `senders` to `receivers` any more; small messages still pass the other way."""
        self._one_way |= {(a, b) for a in senders for b in receivers if a != b}

    def slow(self, a: int, b: int, extra_s: float) -> None:
        """Each packet between two peers takes so much longer; 0 ends it."""
        if extra_s:
            self._slow[_pair(a, b)] = extra_s
        else:
            self._slow.pop(_pair(a, b), None)

    def mend_all(self) -> None:
        """Open every link and end a partition."""
        self._cut.clear()
        self._one_way.clear()
        self._group = {}

    def open(self, a: int, b: int) -> bool:
        """Whether bytes pass both ways between two peers if both run: what needs an answer needs that."""
        return self.passes(a, b) and (not self._one_way or (b, a) not in self._one_way)

    def passes(self, a: int, b: int) -> bool:
        """Whether bytes pass from `a` to `b`."""
        group = self._group
        if group and group.get(a, 0) != group.get(b, 0):
            return False
        if self._one_way and (a, b) in self._one_way:
            return False
        return not self._cut or _pair(a, b) not in self._cut

    def linked(self, a: Process, b: Process) -> bool:
        """Whether two processes talk to each other now."""
        return a.running and b.running and (a is b or self.open(a.number, b.number))

    def latency(self, a: int, b: int) -> float:
        """Seconds one way between two peers, without jitter or stalls."""
        if a == b:
            return 0.0
        pair = _pair(a, b)
        latency = self._latency.get(pair)
        if latency is None:
            latency = self._latency[pair] = self._rng.uniform(*self._options.latency_s)
        return latency

    def delay(self, a: int, b: int) -> float:
        """Seconds that a packet takes this time: latency, jitter and, rarely, a long stall."""
        options = self._options
        rng = self._rng
        delay = self.latency(a, b) + rng.random() * options.jitter_s
        if rng.random() < options.stall_probability:
            delay += rng.uniform(*options.stall_s)
        if self._slow:
            delay += self._slow.get(_pair(a, b), 0.0)
        return delay

    def islands(self, processes: Iterable[Process]) -> dict[int, int]:
        """For each running, joined process's number the island it is on: gossip passes along any chain of links."""
        alive = [process for process in processes if process.running and process.meshed]
        island: dict[int, int] = {}
        for start in alive:
            if start.number in island:
                continue
            island[start.number] = start.number
            edge = [start]
            while edge:
                here = edge.pop()
                for other in alive:
                    if other.number not in island and self.open(here.number, other.number):
                        island[other.number] = start.number
                        edge.append(other)
        return island

"""Which peers are voters: the committee grows with the swarm, replaces its dead and shrinks to an odd size."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .raft import Disk, Entry, Leadership, Raft

if TYPE_CHECKING:
    from collections.abc import Callable

    from .links import Links
    from .options import NetworkOptions
    from .process import Process
    from .scheduler import Scheduler, Timer

__all__ = ["CommitteeKeeper", "wanted_voters"]


def wanted_voters(eligible: int) -> int:
    """The committee's size for a number of live eligible peers: 1 up to two, 3 up to four, else 5."""
    return 1 if eligible <= 2 else 3 if eligible <= 4 else 5


class CommitteeKeeper:
    """What a leader does about its committee, one server at a time, judging by its own view of who lives.

    A dead voter is removed only after its replacement was added, and never down to an even number.
    """

    __slots__ = (
        "_dead_until_s", "_links", "_options", "_processes", "_raft", "_rng", "_scheduler", "_timer", "hand_over",
        "settled",
    )  # fmt: skip

    def __init__(
        self,
        scheduler: Scheduler,
        links: Links,
        options: NetworkOptions,
        processes: dict[int, Process],
        raft: Raft,
    ) -> None:
        self._scheduler = scheduler
        self._rng = scheduler.rng
        self._links = links
        self._options = options
        self._processes = processes
        self._raft = raft
        self._timer: Timer | None = None
        self._dead_until_s: dict[Disk, float] = {}
        self.hand_over: Callable[[Leadership], bool] = _cannot
        self.settled: Callable[[], None] = _ignore

    def committed(self, leadership: Leadership) -> None:
        """A leader committed something: perhaps a change of its committee."""
        if leadership.changing and leadership.commit >= leadership.changing:
            leadership.changing = 0
            self.settled()
            self.consider_soon()
        elif leadership.disk.log[leadership.commit - 1].writes == ():
            self.consider_soon()  # a new leader's first entry

    def consider_soon(self, delay_s: float | None = None) -> None:
        """Look at the committee in a moment, or after `delay_s`."""
        if delay_s is None:
            delay_s = self._rng.uniform(0.01, 0.1)
        when_s = self._scheduler.now + delay_s
        timer = self._timer
        if timer is not None and timer.waiting:
            if timer.when_s <= when_s:
                return
            timer.cancel()
        self._timer = self._scheduler.schedule(delay_s, self._consider_all)

    def _consider_all(self) -> None:
        for leadership in list(self._raft.leaderships):
            if leadership.process.running and leadership.active:
                self._consider(leadership)

    def _dead(self, leadership: Leadership, disk: Disk) -> bool:
        """Whether a leader has given a voter up: a goodbye or a lost disk at once, silence after some patience."""
        process = self._processes[disk.number]
        if process.leaving:
            return True
        if process is leadership.process:
            return False
        seen = disk.number in leadership.process.view
        if seen and process.disk is not disk:
            return True
        if seen:
            self._dead_until_s.pop(disk, None)
            return False
        until_s = self._dead_until_s.get(disk)
        if until_s is None:
            until_s = self._scheduler.now + self._rng.uniform(0.2, 4 * self._options.heartbeat_s)
            self._dead_until_s[disk] = until_s
        if until_s > self._scheduler.now:
            self.consider_soon(until_s - self._scheduler.now)
            return False
        return True

    def _consider(self, leadership: Leadership) -> None:
        log = leadership.disk.log
        if leadership.changing or not leadership.commit or log[leadership.commit - 1].term != leadership.term:
            return  # one change at a time, and none before everything older has committed
        voters = self._raft.voters
        dead = [disk for disk in voters if self._dead(leadership, disk)]
        fresh = self._candidates(leadership)
        size = len(voters)
        live = size - len(dead)
        wanted = self._options.voters or wanted_voters(live + len(fresh))
        odd = size % 2 == 1
        voting = live + (leadership.disk in dead)  # a leader that leaves votes until it is gone
        if (
            fresh
            and voting + 1 > (size + 1) // 2
            and ((dead if odd else not dead and size < wanted) or (odd and size < wanted and len(fresh) >= 2))
        ):
            disk = self._rng.choice(fresh)
            delay_s = self._links.delay(leadership.disk.number, disk.number) + 0.01 * self._rng.random()
            self._scheduler.schedule(delay_s, partial(self._promote, leadership, disk))
        elif size > wanted or (not odd):
            self._remove(leadership, dead, live)

    def _candidates(self, leadership: Leadership) -> list[Disk]:
        found: list[Disk] = []
        for number, info in leadership.process.view.items():
            process = self._processes[number]
            if (
                info.eligible
                and not process.leaving
                and process.disk not in self._raft.voters
                and self._links.linked(process, leadership.process)
            ):
                found.append(process.disk)
        return found

    def _promote(self, leadership: Leadership, disk: Disk) -> None:
        """Bring a new server's log up to date, then make it a voter."""
        voters = self._raft.voters
        process = self._raft.holder(disk)
        if not leadership.active or leadership.changing or disk in voters or process is None:
            return
        if not self._links.linked(process, leadership.process) or process.leaving:
            self.consider_soon()
            return
        disk.log = list(leadership.disk.log)
        disk.term = max(disk.term, leadership.term)
        self._change(leadership, (*voters, disk))

    def _remove(self, leadership: Leadership, dead: list[Disk], live: int) -> None:
        voters = self._raft.voters
        others = [disk for disk in dead if disk is not leadership.disk]
        if not others and not dead:
            others = [disk for disk in voters if disk is not leadership.disk][-1:]
            live -= 1
        if not others:
            if dead:
                # This leader itself leaves: another voter leads, and removes it.
                self.hand_over(leadership)
            return
        size = len(voters) - 1
        if live * 2 > size:
            self._change(leadership, tuple(disk for disk in voters if disk is not others[0]))

    def _change(self, leadership: Leadership, voters: tuple[Disk, ...]) -> None:
        leadership.changing = len(leadership.disk.log) + 1
        self._raft.append(leadership, Entry(leadership.term, (), voters), None)


def _cannot(_leadership: Leadership) -> bool:
    """Until the ledger connects itself."""
    return False


def _ignore() -> None:
    """Until the network connects its parts."""

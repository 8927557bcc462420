"""Raft without its messages: real logs, terms, votes and majorities; delays and elections drawn by the scheduler.

A log entry is an object shared by all logs that hold it, so a log that contradicts what was committed is seen by
identity. Diego Ongaro and John Ousterhout, In Search of an Understandable Consensus Algorithm, 2014.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .process import Process, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyfl.overlay.protocol import Write

    from .links import Links
    from .options import NetworkOptions
    from .scheduler import Scheduler, Timer

__all__ = ["Disk", "Entry", "Leadership", "Raft", "Ticket"]


class Ticket:
    """Who waits for an entry's end."""

    __slots__ = ("barrier", "done", "error", "process", "request", "timer")

    def __init__(self, process: Process, request: int, *, barrier: bool) -> None:
        self.process = process
        self.request = request
        self.barrier = barrier
        self.done = False
        self.error = "timeout"  # what it ends in when nothing else ends it
        self.timer: Timer | None = None


class Entry:
    """One log entry: records to write, a new committee, or nothing (a new leader's first entry, a barrier)."""

    __slots__ = ("conflict", "results", "term", "voters", "writes")

    def __init__(self, term: int, writes: tuple[Write, ...] = (), voters: tuple[Disk, ...] | None = None) -> None:
        self.term = term
        self.writes = writes
        self.voters = voters
        # Set once, when it commits.
        self.conflict = False
        self.results: tuple[tuple[str, int, bytes], ...] = ()


class Disk:
    """One incarnation of a peer's ledger log. A peer that lost its disk comes back with another one."""

    __slots__ = ("incarnation", "log", "number", "peer", "term")

    def __init__(self, number: int, peer: str, incarnation: int) -> None:
        self.number = number
        self.peer = peer
        self.incarnation = incarnation
        self.term = 0
        self.log: list[Entry] = []

    def up_to_date(self, other: Disk) -> bool:
        """Raft's rule for a vote: whether this log is at least as new as the other."""
        mine = (self.log[-1].term if self.log else 0, len(self.log))
        return mine >= (other.log[-1].term if other.log else 0, len(other.log))


class Leadership:
    """One process's belief that it leads, from its election until it steps down or ends."""

    __slots__ = ("active", "busy", "changing", "commit", "disk", "lease", "match", "process", "term", "waiting")

    def __init__(self, process: Process, term: int) -> None:
        self.process = process
        self.disk = process.disk
        self.term = term
        self.active = True
        self.commit = 0
        self.match: dict[Disk, int] = {}
        self.busy: dict[Disk, None] = {}
        self.waiting: dict[int, Ticket] = {}
        self.lease: Timer | None = None
        self.changing = 0  # index of a change of the committee under way


class Raft:
    """The committee. `committed` is the truth: a run in which a log contradicts it ends in an AssertionError.

    The owner is told: `on_commit` after each advance of a leadership's commit index, `on_change` when a leadership
    began or ended, `on_lost` when one stepped down with what it still had `waiting`.
    """

    __slots__ = (
        "_election",
        "_links",
        "_options",
        "_processes",
        "_rng",
        "_scheduler",
        "committed",
        "founders",
        "leaderships",
        "on_change",
        "on_commit",
        "on_lost",
        "state",
        "voters",
    )  # fmt: skip

    def __init__(self, scheduler: Scheduler, links: Links, options: NetworkOptions, processes: dict[int, Process]) -> None:
        self._scheduler = scheduler
        self._rng = scheduler.rng
        self._links = links
        self._options = options
        self._processes = processes
        self._election: Timer | None = None
        self.voters: tuple[Disk, ...] = ()
        self.founders: tuple[Disk, ...] = ()
        self.leaderships: list[Leadership] = []
        self.committed: list[Entry] = []
        self.state: dict[str, tuple[int, bytes]] = {}
        self.on_commit: Callable[[Leadership], None] = _ignore
        self.on_change: Callable[[Leadership], None] = _ignore
        self.on_lost: Callable[[Leadership], None] = _ignore

    # Who is who.

    def holder(self, disk: Disk) -> Process | None:
        """The running process that has this log, if any."""
        process = self._processes[disk.number]
        return process if process.disk is disk and process.running else None

    def leadership_of(self, process: Process) -> Leadership | None:
        """The process's own belief that it leads, if it has one."""
        for leadership in self.leaderships:
            if leadership.process is process:
                return leadership
        return None

    def heard_by(self, process: Process) -> Leadership | None:
        """The newest leadership that reaches a process directly."""
        best: Leadership | None = None
        for leadership in self.leaderships:
            if self._links.linked(leadership.process, process) and (best is None or leadership.term > best.term):
                best = leadership
        return best

    def bootstrap(self, process: Process) -> None:
        """The founder is the only voter of a new ledger."""
        self.voters = self.founders = (process.disk,)
        self.refresh(fast=True)

    # The log.

    def append(self, leadership: Leadership, entry: Entry, ticket: Ticket | None) -> None:
        """Take an entry at a leader; it commits if a majority of the voters gets it while it leads, or later anyway."""
        log = leadership.disk.log
        log.append(entry)
        if ticket is not None:
            leadership.waiting[len(log)] = ticket
        self._replicate_all(leadership)

    def _replicate_all(self, leadership: Leadership) -> None:
        for disk in self.voters:
            self._replicate(leadership, disk)

    def _replicate(self, leadership: Leadership, disk: Disk) -> None:
        if disk in leadership.busy or leadership.match.get(disk, 0) >= len(leadership.disk.log):
            return
        process = self.holder(disk)
        if process is None or not self._links.linked(leadership.process, process):
            return  # refresh comes back to it
        leadership.busy[disk] = None
        delay_s = self._links.delay(leadership.disk.number, disk.number) if disk is not leadership.disk else 0.0
        self._scheduler.schedule(delay_s, partial(self._arrive, leadership, disk))

    def _arrive(self, leadership: Leadership, disk: Disk) -> None:
        """A leader's entries reach a voter."""
        if not leadership.active:
            return
        process = self.holder(disk)
        if process is None or not self._links.linked(leadership.process, process):
            leadership.busy.pop(disk, None)
            return
        if disk.term > leadership.term:
            self.step_down(leadership)
            return
        log = leadership.disk.log
        if disk is not leadership.disk:
            disk.term = leadership.term
            own = disk.log
            same = min(len(own), len(log))
            while same and own[same - 1] is not log[same - 1]:
                same -= 1
            del own[same:]
            own.extend(log[same:])
        delay_s = self._rng.uniform(*self._options.disk_s)
        if disk is not leadership.disk:
            delay_s += self._links.delay(leadership.disk.number, disk.number)
        self._scheduler.schedule(delay_s, partial(self._acknowledge, leadership, disk, len(log)))

    def _acknowledge(self, leadership: Leadership, disk: Disk, length: int) -> None:
        """A leader hears that a voter has its log up to `length`."""
        if not leadership.active:
            return
        leadership.busy.pop(disk, None)
        process = self.holder(disk)
        if process is None or not self._links.linked(leadership.process, process):
            return
        leadership.match[disk] = length
        self._advance(leadership)
        if leadership.active:
            self._replicate(leadership, disk)

    def _advance(self, leadership: Leadership) -> None:
        """Commit what a majority has, in this leader's own term."""
        while True:
            lengths = sorted(leadership.match.get(disk, 0) for disk in self.voters)
            length = lengths[(len(lengths) - 1) // 2]
            log = leadership.disk.log
            if length <= leadership.commit or log[length - 1].term != leadership.term:
                return
            # A new committee counts from its commit on, so entries behind it need its majority.
            for index in range(leadership.commit, length):
                if log[index].voters is not None and index >= len(self.committed):
                    length = index + 1
                    break
            leadership.commit = length
            self._apply(log, length)
            self.on_commit(leadership)
            if not leadership.active:
                return

    def _apply(self, log: list[Entry], length: int) -> None:
        committed = self.committed
        known = min(len(committed), length)
        if known and log[known - 1] is not committed[known - 1]:
            raise AssertionError(f"I2: the committee's log forked at index {known}: what was committed there is in no majority's log")
        for index in range(known, length):
            entry = log[index]
            committed.append(entry)
            if entry.voters is not None:
                self.voters = entry.voters
            elif entry.writes:
                state = self.state
                entry.conflict = any(state.get(write.key, (0, b""))[0] != write.version for write in entry.writes)
                if not entry.conflict:
                    entry.results = tuple((write.key, write.version + 1, write.value) for write in entry.writes)
                    for key, version, value in entry.results:
                        state[key] = (version, value)

    # Leaders.

    def step_down(self, leadership: Leadership, *, fast: bool = False) -> None:
        """A leader stops leading: what it had not committed is lost to it, and may commit under its successor."""
        if not leadership.active:
            return
        self._retire(leadership)
        self.on_lost(leadership)
        self.on_change(leadership)
        self.refresh(fast=fast)

    def _retire(self, leadership: Leadership) -> None:
        leadership.active = False
        self.leaderships.remove(leadership)
        if leadership.lease is not None:
            leadership.lease.cancel()

    def _quorum(self, leadership: Leadership) -> bool:
        process = leadership.process
        reached = 0
        for disk in self.voters:
            other = self.holder(disk)
            if other is not None and self._links.linked(process, other):
                reached += 1
        return reached * 2 > len(self.voters)

    def refresh(self, *, fast: bool = False, avoid: Process | None = None) -> None:
        """Follow a change of who runs or who is linked: leases, higher terms, replication, elections.

        `fast`: the change was seen at once (a reset connection, a hand-over), so a successor comes soon.
        """
        for leadership in list(self.leaderships):
            process = leadership.process
            if process.state is State.ENDED:
                self._retire(leadership)
                self.on_change(leadership)
                continue
            if not process.running:
                continue
            if leadership.disk not in self.voters or any(
                disk.term > leadership.term
                for disk in self.voters
                if (other := self.holder(disk)) is not None and self._links.linked(process, other)
            ):
                delay_s = self._rng.random() * 0.05
                self._scheduler.schedule(delay_s, partial(self.step_down, leadership))
            if self._quorum(leadership):
                if leadership.lease is not None:
                    leadership.lease.cancel()
                    leadership.lease = None
            elif leadership.lease is None:
                lease_s = self._options.heartbeat_s * (0.5 + 0.2 * self._rng.random())
                leadership.lease = self._scheduler.schedule(lease_s, partial(self._lease_ended, leadership))
            self._replicate_all(leadership)
        self._call_election(fast, avoid)

    def _lease_ended(self, leadership: Leadership) -> None:
        leadership.lease = None
        # A stopped leader's clock stands still as well; once it runs, refresh looks again.
        if leadership.process.running and not self._quorum(leadership):
            self.step_down(leadership)

    def _candidates(self) -> list[Process]:
        """Voters that would win an election now: pre-vote, up-to-date log, majority."""
        free: list[Process] = []
        for disk in self.voters:
            process = self.holder(disk)
            if process is not None and self._in_contact(process) is None:
                free.append(process)
        linked = self._links.linked
        willing: list[Process] = []
        for process in free:
            votes = sum(1 for voter in free if linked(process, voter) and process.disk.up_to_date(voter.disk))
            if 2 * votes > len(self.voters):
                willing.append(process)
        return willing

    def _in_contact(self, process: Process) -> Leadership | None:
        for leadership in self.leaderships:
            if leadership.term >= process.disk.term and self._links.linked(leadership.process, process):
                return leadership
        return None

    def _call_election(self, fast: bool, avoid: Process | None) -> None:
        if not self.voters or not self._candidates():
            return
        rng = self._rng
        heartbeat_s = self._options.heartbeat_s
        delay_s = rng.uniform(*(self._options.succession_s if fast else (heartbeat_s, 2 * heartbeat_s)))
        election = self._election
        if election is not None and election.waiting:
            if election.when_s <= self._scheduler.now + delay_s:
                return
            election.cancel()
        self._election = self._scheduler.schedule(delay_s, partial(self._elect, avoid))

    def _elect(self, avoid: Process | None) -> None:
        candidates = self._candidates()
        if not candidates:
            return
        if len(self.voters) > 1 and self._rng.random() < self._options.split_vote_probability:
            self._election = self._scheduler.schedule(self._options.heartbeat_s * (0.2 + self._rng.random()), partial(self._elect, avoid))
            return
        willing = [process for process in candidates if process is not avoid and not process.leaving] or candidates
        winner = self._rng.choice(willing)
        term = 1 + max(disk.term for disk in self.voters)
        for disk in self.voters:
            voter = self.holder(disk)
            if voter is not None and self._links.linked(winner, voter) and self._in_contact(voter) is None:
                disk.term = term
        leadership = Leadership(winner, term)
        self.leaderships.append(leadership)
        self.on_change(leadership)
        self.append(leadership, Entry(term), None)
        self.refresh()


def _ignore(leadership: Leadership) -> None:
    """Until the ledger connects itself."""

"""The ledger as peers meet it: writes, barriers, records and leaders, over the simulated Raft."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pyfl.errors import NotTheLeader, OverlayArgument
from pyfl.overlay.protocol import (
    BarrierDone,
    Committee,
    Leader,
    LedgerFound,
    LedgerLost,
    Record,
    Write,
    WriteDone,
)

from .committee import CommitteeKeeper
from .raft import Disk, Entry, Leadership, Raft, Ticket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .links import Links
    from .options import NetworkOptions
    from .process import Process
    from .scheduler import Scheduler

__all__ = ["MAX_RECORD", "Ledger"]

MAX_RECORD = 1024 * 1024


class Ledger:
    """Every process's part of the one ledger of a simulated network."""

    __slots__ = ("_links", "_options", "_processes", "_rng", "_scheduler", "_told", "history", "keeper", "name", "raft")

    def __init__(self, scheduler: Scheduler, links: Links, options: NetworkOptions, processes: dict[int, Process]) -> None:
        self._scheduler = scheduler
        self._rng = scheduler.rng
        self._links = links
        self._options = options
        self._processes = processes
        self.name = f"{self._rng.getrandbits(128):032x}"
        self.history: list[tuple[int, str, int, bytes]] = []
        self.raft = Raft(scheduler, links, options, processes)
        self.raft.on_commit = self._committed
        self.raft.on_change = self._leader_changed
        self.raft.on_lost = self._writes_lost
        self._told = 0
        self.keeper = CommitteeKeeper(scheduler, links, options, processes, self.raft)
        self.keeper.hand_over = self.depose

    # What a peer asks for.

    def write(self, process: Process, writes: Sequence[Write]) -> int:
        """Start a write; it ends in a `WriteDone`. Raises `OverlayArgument`."""
        if not writes:
            raise OverlayArgument("a write needs at least one record")
        if len({write.key for write in writes}) != len(writes):
            raise OverlayArgument("a write names each key once")
        for write in writes:
            if len(write.value) > MAX_RECORD:
                raise OverlayArgument(f"a record has at most {MAX_RECORD} bytes, {write.key!r} has {len(write.value)}")
        process.requests += 1
        ticket = Ticket(process, process.requests, barrier=False)
        entry_writes = tuple(writes)
        leadership = self.raft.leadership_of(process)
        if leadership is not None:
            self._propose(leadership, entry_writes, ticket)
        elif not all(write.key.startswith("control") for write in writes):
            # One that has not yet been told that it leads no longer is not refused for its role.
            error = "not_leader" if process.known_leader[0] == process.peer else "denied"
            self._scheduler.schedule(self._refusal_s(), partial(self._finish, ticket, error))
        else:
            ticket.error = "not_leader"
            self._limit(ticket)
            self._forward(process, entry_writes, ticket)
        return ticket.request

    def _forward(self, process: Process, writes: tuple[Write, ...], ticket: Ticket) -> None:
        """A control write travels to the leader, by way of a voter if need be."""
        if ticket.done or not process.running:
            return
        leadership = self._visible(process)
        if leadership is None:
            again = partial(self._forward, process, writes, ticket)
            self._scheduler.schedule(self._options.heartbeat_s / 8, again)
            return
        delay_s = self._links.delay(process.number, leadership.process.number)
        self._scheduler.schedule(delay_s, partial(self._forwarded, leadership, writes, ticket))

    def _forwarded(self, leadership: Leadership, writes: tuple[Write, ...], ticket: Ticket) -> None:
        if ticket.done or not leadership.process.running:
            return  # nobody answers, and the ticket's own limit ends it
        if leadership.active:
            ticket.error = "timeout"
            self._propose(leadership, writes, ticket)
        else:
            self._forward(ticket.process, writes, ticket)

    def _propose(self, leadership: Leadership, writes: tuple[Write, ...], ticket: Ticket) -> None:
        self._limit(ticket)
        self.raft.append(leadership, Entry(leadership.term, writes), ticket)

    def _limit(self, ticket: Ticket) -> None:
        if ticket.timer is None:
            ticket.timer = self._scheduler.schedule(self._options.write_timeout_s, partial(self._expire, ticket))

    def _expire(self, ticket: Ticket) -> None:
        self._finish(ticket, ticket.error)

    def barrier(self, process: Process) -> int:
        """Start a barrier; it ends in a `BarrierDone`, behind the records of everything committed before."""
        process.requests += 1
        ticket = Ticket(process, process.requests, barrier=True)
        leadership = self.raft.leadership_of(process)
        if leadership is None:
            self._scheduler.schedule(self._refusal_s(), partial(self._finish, ticket, "not_leader"))
        else:
            self._limit(ticket)
            self.raft.append(leadership, Entry(leadership.term), ticket)
        return ticket.request

    def _refusal_s(self) -> float:
        # Not zero: a caller that asks again at once must not stop the clock.
        return 0.0001 + self._rng.random() * 0.001

    def hand_over(self, process: Process) -> None:
        """A leader gives its role to another voter that is up. Raises `NotTheLeader`."""
        leadership = self.raft.leadership_of(process)
        if leadership is None:
            raise NotTheLeader("this peer is not the leader; only the leader can hand leadership over")
        self.depose(leadership)

    def depose(self, leadership: Leadership) -> bool:
        """End a leadership for another voter's; False if there is no other voter that could lead."""
        others = [
            disk
            for disk in self.raft.voters
            if (holder := self.raft.holder(disk)) is not None
            and holder is not leadership.process
            and self._links.linked(holder, leadership.process)
        ]
        if not others:
            return False
        self.raft.step_down(leadership)
        self.raft.refresh(fast=True, avoid=leadership.process)
        return True

    def _finish(self, ticket: Ticket, error: str) -> None:
        if ticket.done:
            return
        ticket.done = True
        if ticket.timer is not None:
            ticket.timer.cancel()
        if ticket.barrier:
            ticket.process.deliver(BarrierDone(ticket.request, not error, error))
        else:
            ticket.process.deliver(WriteDone(ticket.request, not error, error))

    # What the committee tells.

    def _committed(self, leadership: Leadership) -> None:
        committed = self.raft.committed
        for index in range(self._told, len(committed)):
            for key, version, value in committed[index].results:
                self.history.append((index + 1, key, version, value))
        self._told = len(committed)
        process = leadership.process
        due = [index for index in leadership.waiting if index <= leadership.commit]
        tickets = [(index, leadership.waiting.pop(index)) for index in due]
        early: list[tuple[int, Ticket]] = []
        for index, ticket in tickets:
            # A write's end may overtake its own record, a barrier's never does.
            if ticket.process is process and not ticket.barrier and self._rng.random() < 0.3:
                early.append((index, ticket))
        for index, ticket in early:
            self._scheduler.schedule(0.0, partial(self._finish, ticket, self._error(index)))
        self._take(process, leadership.commit)
        for index, ticket in tickets:
            if ticket.process is process:
                self._scheduler.schedule(0.0, partial(self._finish, ticket, self._error(index)))
            elif self._links.linked(process, ticket.process):
                delay_s = self._links.delay(process.number, ticket.process.number)
                self._scheduler.schedule(delay_s, partial(self._finish, ticket, self._error(index)))
        self.spread()
        self.keeper.committed(leadership)

    def _error(self, index: int) -> str:
        return "conflict" if self.raft.committed[index - 1].conflict else ""

    def _writes_lost(self, leadership: Leadership) -> None:
        for ticket in leadership.waiting.values():
            if ticket.process is leadership.process:
                self._scheduler.schedule(self._rng.random() * 0.1, partial(self._finish, ticket, "lost"))
        leadership.waiting.clear()

    def _leader_changed(self, _leadership: Leadership) -> None:
        for process in self._processes.values():
            self._look_for_leader(process)

    # Records reach everyone.

    def spread(self) -> None:
        """Let every process that is behind and can know better catch up, each in its own time."""
        newest = len(self.raft.committed)
        for process in self._processes.values():
            if process.applied >= newest or process.sync_timer is not None or not process.running:
                continue
            if self._reachable_index(process) > process.applied:
                delay_s = self._rng.random() * 0.01 + self._options.latency_s[1] * self._rng.random()
                if self._rng.random() < self._options.stall_probability:
                    delay_s += self._rng.uniform(*self._options.stall_s)
                process.sync_timer = self._scheduler.schedule(delay_s, partial(self._catch_up, process))

    def _reachable_index(self, process: Process) -> int:
        """How far a process could know the ledger: a voter from a leader, anyone else from a voter."""
        best = 0
        for leadership in self.raft.leaderships:
            if leadership.commit > best and self._links.linked(leadership.process, process):
                best = leadership.commit
        if process.disk in self.raft.voters:
            return best
        for disk in self.raft.voters:
            voter = self.raft.holder(disk)
            if voter is not None and voter.applied > best and self._links.linked(voter, process):
                best = voter.applied
        return best

    def _catch_up(self, process: Process) -> None:
        process.sync_timer = None
        if not process.running:
            return
        index = self._reachable_index(process)
        if index > process.applied:
            self._take(process, index)
            self.spread()

    def _take(self, process: Process, length: int) -> None:
        """Hand a process the records up to an index, in order; the newest of each key only if it is far behind."""
        committed = self.raft.committed
        start = process.applied
        if length <= start:
            return
        process.applied = length
        records: dict[tuple[str, int], Record] = {}
        newest_only = length - start > 32 or self._rng.random() < self._options.skip_probability
        voters = self.raft.founders if start == 0 else None
        for index in range(start, length):
            entry = committed[index]
            if entry.voters is not None:
                voters = entry.voters
            for key, version, value in entry.results:
                name = (key, 0) if newest_only else (key, version)
                records.pop(name, None)
                records[name] = Record(key, version, index + 1, value)
        for record in records.values():
            process.records[record.key] = record
            self._scheduler.schedule(0.0, partial(process.deliver, record))
        if voters is not None:
            self._tell_committee(process, voters)

    def _tell_committee(self, process: Process, voters: tuple[Disk, ...]) -> None:
        event = Committee(sorted(disk.peer for disk in voters), self.name, 1)
        self._scheduler.schedule(0.0, partial(process.deliver, event))

    # Leaders become known.

    def _visible(self, process: Process) -> Leadership | None:
        """The leadership that a process hears of: its own, its leader's, or what a voter it reaches says."""
        own = self.raft.leadership_of(process)
        if own is not None:
            return own
        best = self.raft.heard_by(process)
        if process.disk in self.raft.voters:
            return best
        for disk in self.raft.voters:
            voter = self.raft.holder(disk)
            if voter is not None and self._links.linked(voter, process):
                heard = self.raft.heard_by(voter)
                if heard is not None and (best is None or heard.term > best.term):
                    best = heard
        return best

    def _look_for_leader(self, process: Process) -> None:
        if not process.running:
            return
        visible = self._visible(process)
        known, term = process.known_leader
        if visible is None:
            if known and process.leader_timer is None:
                within_s = 0.05 if known == process.peer else self._options.heartbeat_s
                delay_s = self._rng.random() * within_s
                process.leader_timer = self._scheduler.schedule(delay_s, partial(self._learn_leader, process))
            return
        if process.lost_timer is not None:
            process.lost_timer.cancel()
            process.lost_timer = None
        if visible.process.peer != known or visible.term != term or process.contact_lost:
            delay_s = 0.0 if visible.process is process else self._rng.uniform(0.001, 0.1)
            timer = process.leader_timer
            if timer is not None:
                if timer.when_s <= self._scheduler.now + delay_s:
                    return
                timer.cancel()
            process.leader_timer = self._scheduler.schedule(delay_s, partial(self._learn_leader, process))

    def _learn_leader(self, process: Process) -> None:
        process.leader_timer = None
        if not process.running:
            return
        visible = self._visible(process)
        known, term = process.known_leader
        if visible is None:
            if known:
                process.known_leader = ("", term)
                process.deliver(Leader("", False, term))
                age_s = 2 * self._options.heartbeat_s
                if process.lost_timer is None and not process.contact_lost:
                    process.lost_timer = self._scheduler.schedule(age_s, partial(self._contact_lost, process))
            return
        if process.contact_lost:
            process.contact_lost = False
            process.deliver(LedgerFound())
        if visible.term >= term and (visible.process.peer, visible.term) != process.known_leader:
            process.known_leader = (visible.process.peer, visible.term)
            event = Leader(visible.process.peer, visible.process is process, visible.term)
            self._scheduler.schedule(0.0, partial(process.deliver, event))

    def _contact_lost(self, process: Process) -> None:
        process.lost_timer = None
        if process.running and self._visible(process) is None:
            process.contact_lost = True
            process.deliver(LedgerLost(int(2000 * self._options.heartbeat_s)))

    def refresh(self, *, fast: bool = False) -> None:
        """Follow a change of who runs or who is linked."""
        self.raft.refresh(fast=fast)
        for process in self._processes.values():
            self._look_for_leader(process)
        self.spread()

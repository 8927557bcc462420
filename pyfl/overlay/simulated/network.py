"""The simulated network: peers, faults and one virtual clock. A seed gives one run, event by event."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from pyfl.overlay.protocol import LinkDown, PeerInfo

from .ledger import Ledger
from .links import Links
from .mail import Mail
from .membership import Membership
from .options import NetworkOptions
from .peer import SimulatedOverlay
from .process import Process, State
from .raft import Disk
from .scheduler import Scheduler, Timer
from .steps import Steps
from .transfers import Transfers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .faults import Fault

__all__ = ["SimulatedNetwork"]

Who = SimulatedOverlay | str


class SimulatedNetwork:
    """Peers on a network that delays, re-orders, loses and breaks, by the seed.

    Peers are named by their overlay, id or name. `on_started(overlay)` is called with each restarted peer's new
    overlay, `on_ended(overlay)` when a process ends, so that a test can attach and detach what runs on it.
    `fault_log` tells what was done to the network and when; `ailments(process, fault)` is called for what befalls
    the program of a peer rather than its network.
    """

    __slots__ = (
        "_disks", "_names", "_numbers", "_overlays", "_processes", "_resume_calls", "_scheduler", "ailments", "fault_log",
        "ledger", "links", "mail", "membership", "on_ended", "on_started", "options", "returning", "steps", "struck", "transfers",
    )  # fmt: skip

    def __init__(self, seed: int, *, options: NetworkOptions | None = None) -> None:
        self.options = NetworkOptions() if options is None else options
        self._scheduler = Scheduler(seed)
        self._processes: dict[int, Process] = {}
        self._overlays: dict[int, SimulatedOverlay] = {}
        self._numbers: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._disks = 0
        self._resume_calls: dict[Process, list[Callable[[], None]]] = {}
        self.fault_log: list[tuple[float, str]] = []
        self.struck: Counter[str] = Counter()  # faults of a plan, by kind
        self.steps = Steps()
        self.returning: set[str] = set()  # peers that lost power and get it back
        self.ailments: Callable[[Process, Fault], None] = _healthy
        self.on_started: Callable[[SimulatedOverlay], None] | None = None
        self.on_ended: Callable[[SimulatedOverlay], None] | None = None
        parts = (self._scheduler, Links(self._scheduler, self.options), self.options, self._processes)
        self.links = parts[1]
        self.mail = Mail(*parts)
        self.transfers = Transfers(*parts)
        self.ledger = Ledger(*parts)
        self.membership = Membership(*parts)
        self.membership.lost = self._lost
        self.mail.link_down = self._link_broke
        self.membership.view_changed = self._view_changed
        self.ledger.keeper.settled = self._settled

    # Time.

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self._scheduler.now

    @property
    def rng_state_digest(self) -> int:
        """Differs as soon as two runs have drawn differently."""
        return hash(self._scheduler.rng.getstate())

    @property
    def trace_digest(self) -> str:
        """Names everything that happened: equal for equal seeds and equal use."""
        return self._scheduler.trace_digest

    def schedule(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Run `call` after `delay_s` virtual seconds; the handle cancels it."""
        return self._scheduler.schedule(delay_s, call)

    def run(self, until: float | None = None, stop: Callable[[], bool] | None = None) -> bool:
        """Process events until `stop()`, the virtual time `until`, or quiet; True if `stop` ended it."""
        return self._scheduler.run(until, stop)

    # Peers.

    def add_peer(
        self,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        *,
        join: bool = True,
        found: bool = False,
        data_dir_state: Disk | None = None,
    ) -> SimulatedOverlay:
        """Start a peer. One peer founds the ledger; a peer that neither joins nor founds is alone until `join`.

        `data_dir_state` is another overlay's `disk`. Raises ValueError for a name in use or a second founder.
        """
        number = len(self._processes)
        name = name or f"peer-{number}"
        if name in self._names:
            raise ValueError(f"a peer is named {name} already; choose another name or restart that one")
        if found and self.ledger.raft.voters:
            raise ValueError("this network's ledger was founded already; join it")
        peer = f"{self._scheduler.rng.getrandbits(128):032x}"
        info = PeerInfo(peer, name, f"10.0.{number >> 8}.{number & 255}:7700", dict(labels or {}))
        disk = data_dir_state if data_dir_state is not None else self._new_disk(number, peer)
        disk.number, disk.peer = number, peer
        self._numbers[peer] = number
        self._names[name] = number
        overlay = self._start(Process(self._scheduler, self.steps, number, info, disk), mesh=join or found)
        if found:
            self.ledger.raft.bootstrap(overlay.process)
        return overlay

    def join(self, who: Who) -> None:
        """Let a peer that was added with `join=False` meet the others."""
        self.process_of(who).meshed = True
        self._topology_changed()

    def _new_disk(self, number: int, peer: str) -> Disk:
        self._disks += 1
        return Disk(number, peer, self._disks)

    def _start(self, process: Process, *, mesh: bool) -> SimulatedOverlay:
        overlay = SimulatedOverlay(self, process)
        self._processes[process.number] = process
        self._overlays[process.number] = overlay
        process.meshed = mesh
        self._topology_changed()
        return overlay

    @property
    def overlays(self) -> list[SimulatedOverlay]:
        """Every peer's current overlay, also of ended ones, in the order of their first start."""
        return list(self._overlays.values())

    @property
    def alive(self) -> list[SimulatedOverlay]:
        """The overlays of processes that run or are stopped."""
        return [overlay for overlay in self._overlays.values() if overlay.alive]

    def overlay(self, who: Who) -> SimulatedOverlay:
        """A peer's current overlay."""
        return self._overlays[self.process_of(who).number]

    def number_of(self, peer: str) -> int | None:
        """The number of a peer id, None if there is no such peer."""
        return self._numbers.get(peer)

    def process_of(self, who: Who) -> Process:
        """The current process of a peer. Raises KeyError."""
        if isinstance(who, SimulatedOverlay):
            return self._processes[who.process.number]
        number = self._numbers.get(who, self._names.get(who))
        if number is None:
            raise KeyError(f"no peer has the id or name {who!r}; there are {', '.join(self._names)}")
        return self._processes[number]

    # The committee.

    @property
    def leader(self) -> SimulatedOverlay | None:
        """The running leader of the newest term, if there is one."""
        best = None
        for leadership in self.ledger.raft.leaderships:
            if leadership.process.running and (best is None or leadership.term > best.term):
                best = leadership
        return None if best is None else self._overlays[best.process.number]

    @property
    def voters(self) -> list[SimulatedOverlay]:
        """The committee's peers, alive or not."""
        return [self._overlays[disk.number] for disk in self.ledger.raft.voters]

    @property
    def committed_history(self) -> list[tuple[int, str, int, bytes]]:
        """All committed (index, key, version, value), in order, of the whole run."""
        return self.ledger.history

    def depose_leader(self) -> bool:
        """Take leadership from the leader; another voter is elected soon. False if nobody else could lead."""
        leader = self.leader
        if leader is None:
            return False
        leadership = self.ledger.raft.leadership_of(leader.process)
        done = leadership is not None and self.ledger.depose(leadership)
        self._note(f"depose {leader.name}" if done else "depose: no other voter could lead")
        return done

    # Faults.

    def kill(self, who: Who) -> None:
        """End a process as by kill -9. Most neighbours see the connection reset; some learn it from gossip only."""
        process = self.process_of(who)
        if process.state is not State.ENDED:
            self._note(f"kill {process.name}")
            self._end(process, certain=False)

    def close(self, process: Process) -> None:
        """A process closes its overlay: like a kill that everyone notices, unless it is leaving and will end so."""
        if not process.leaving:
            self._end(process, certain=True)

    def _end(self, process: Process, *, certain: bool) -> None:
        if process.state is State.ENDED:
            return
        process.ends_visibly = certain
        process.enter(State.ENDED)
        self.membership.died(process)
        self._resume_calls.pop(process, None)
        self.mail.died(process.number)
        self.transfers.ended(process)
        self._topology_changed(fast=True)
        if self.on_ended is not None:
            self.on_ended(self._overlays[process.number])

    def stop(self, who: Who) -> None:
        """SIGSTOP: it does nothing, and the others hear of it from gossip only."""
        process = self.process_of(who)
        if process.state is State.RUNNING:
            self._note(f"stop {process.name}")
            process.enter(State.STOPPED)
            self._topology_changed()

    def resume(self, who: Who) -> None:
        """SIGCONT: it handles what waited for it, and the others find it again."""
        process = self.process_of(who)
        if process.state is not State.STOPPED:
            return
        self._note(f"resume {process.name}")
        process.enter(State.RUNNING)
        process.resumed()
        for call in self._resume_calls.pop(process, []):
            self.schedule(0.0, call)
        self.membership.resumed(process)
        self._topology_changed()

    def when_resumed(self, process: Process, call: Callable[[], None]) -> None:
        """Keep a stopped process's call for its resume, when it must look again whether the process runs."""
        self._resume_calls.setdefault(process, []).append(call)

    def restart(self, who: Who, *, keep_disk: bool = True) -> SimulatedOverlay:
        """Start a peer's process anew, killing it first if it lives: same id and name, another overlay."""
        old = self.process_of(who)
        self.kill(old.peer)
        self._note(f"restart {old.name} {'with' if keep_disk else 'without'} disk")
        info = PeerInfo(old.peer, old.name, old.address, old.info.labels)
        disk = old.disk if keep_disk else self._new_disk(old.number, old.peer)
        process = Process(self._scheduler, self.steps, old.number, info, disk)
        self._processes[process.number] = process
        overlay = self._start(process, mesh=old.meshed)
        if self.on_started is not None:
            self.on_started(overlay)
        return overlay

    def cut_link(self, a: Who, b: Who) -> None:
        """No bytes pass between two peers; gossip still goes round by others."""
        one, two = self.process_of(a), self.process_of(b)
        self._note(f"cut {one.name} {two.name}")
        self.links.cut(one.number, two.number)
        self.mail.link_cut(one.number, two.number)
        self._topology_changed()

    def reset_link(self, a: Who, b: Who) -> None:
        """Break the connections between two peers that can dial each other anew at once."""
        one, two = self.process_of(a), self.process_of(b)
        self._note(f"reset {one.name} {two.name}")
        self.mail.link_broke(one.number, two.number)

    def partition(self, groups: Sequence[Iterable[Who]]) -> None:
        """Only members of the same group reach each other; whoever is in no group is in the first."""
        members = [[self.process_of(who) for who in group] for group in groups]
        self._note("partition " + " | ".join(" ".join(process.name for process in group) for group in members))
        before = [(a, b) for a in self._processes for b in self._processes if a < b and self.links.open(a, b)]
        self.links.partition([[process.number for process in group] for group in members])
        for a, b in before:
            if not self.links.open(a, b):
                self.mail.link_cut(a, b)
        self._topology_changed()

    def partition_one_way(self, senders: Iterable[Who], receivers: Iterable[Who]) -> None:
        """Nothing passes from `senders` to `receivers`: small messages still pass the other way, what needs an answer does not."""
        here, there = [self.process_of(who) for who in senders], [self.process_of(who) for who in receivers]
        self._note(f"nothing passes from {' '.join(p.name for p in here)} to {' '.join(p.name for p in there)}")
        self.links.cut_one_way([process.number for process in here], [process.number for process in there])
        for one in here:
            for two in there:
                self.mail.link_cut(one.number, two.number)
        self._topology_changed()

    def slow_link(self, a: Who, b: Who, extra_s: float) -> None:
        """Whatever passes between two peers takes so much longer; 0 ends it."""
        one, two = self.process_of(a), self.process_of(b)
        self._note(f"slow {one.name} {two.name} {extra_s:g} s")
        self.links.slow(one.number, two.number, extra_s)

    def disorder_messages(self, *, duplicates: float = 0.0, out_of_order: float = 0.0) -> None:
        """From now on each message comes twice, or late, with these probabilities."""
        self._note(f"duplicates {duplicates:g}, out of order {out_of_order:g}")
        self.mail.duplicates, self.mail.out_of_order = duplicates, out_of_order

    def heal(self, a: Who | None = None, b: Who | None = None) -> None:
        """Mend one link, or, without arguments, every cut and partition."""
        if a is None or b is None:
            self._note("heal")
            self.links.mend_all()
        else:
            one, two = self.process_of(a), self.process_of(b)
            self._note(f"heal {one.name} {two.name}")
            self.links.mend(one.number, two.number)
        self._topology_changed()

    def drop_messages(self, probability: float) -> None:
        """From now on each message is lost with this probability; 0 ends it."""
        if not 0.0 <= probability <= 1.0:
            raise ValueError(f"a probability lies between 0 and 1, got {probability}")
        self._note(f"drop messages {probability:g}")
        self.mail.loss = probability

    # Leaving.

    def leave(self, who: Who) -> None:
        """Make a peer leave cleanly: a voter is replaced first if it can be, everyone hears the goodbye, it ends."""
        process = self.process_of(who)
        if process.running:
            self.start_leaving(process, 3.0)

    def start_leaving(self, process: Process, timeout_s: float) -> None:
        """Begin a leave; it ends within `timeout_s` whether the committee could replace the peer or not."""
        if process.leaving:
            return
        self._note(f"leave {process.name}")
        process.leaving = True
        if process.disk not in self.ledger.raft.voters:
            timeout_s = min(timeout_s, 0.001)
        else:
            self.ledger.keeper.consider_soon()
        self.schedule(timeout_s, partial(self._goodbye, process))

    def _goodbye(self, process: Process) -> None:
        if process.state is State.RUNNING and not process.goodbye_said:
            self.membership.said_goodbye(process)
            self.schedule(0.0, partial(self._end, process, certain=True))

    def _settled(self) -> None:
        for process in list(self._processes.values()):
            if process.leaving and process.disk not in self.ledger.raft.voters:
                self.schedule(0.0, partial(self._goodbye, process))

    # The parts' calls to each other.

    def announce(self, process: Process, meta: bytes, eligible: bool) -> None:
        """A process says something new of itself."""
        process.info = msgspec.structs.replace(process.info, meta=meta, eligible=eligible)
        self.membership.announced(process)
        if self.ledger.raft.leadership_of(process) is not None:
            self.ledger.keeper.consider_soon()

    def post(self, process: Process, peer: str, tag: bytes, buffer: memoryview, timeout_s: float, *, sending: bool) -> int:
        """Post one side of a transfer."""
        return self.transfers.post(process, self._numbers.get(peer), peer, tag, buffer, timeout_s, sending)

    def _lost(self, observer: Process, number: int, confirmed: bool) -> None:
        self.transfers.lost(observer, number, confirmed)
        if not confirmed and self._scheduler.rng.random() < 0.5:
            self.mail.broken(observer.number, number)

    def _link_broke(self, a: int, b: int) -> None:
        self.transfers.link_broke(a, b)
        for here, there in ((a, b), (b, a)):
            process = self._processes[here]
            if process.state is not State.ENDED and there in process.view:
                # A link that only blinked is noticed too, at each end in its own time.
                event = LinkDown(process.view[there].peer)
                delay_s = self._scheduler.rng.uniform(*self.options.refused_s)
                self.schedule(delay_s, partial(process.deliver, event))

    def _view_changed(self, observer: Process) -> None:
        if self.ledger.raft.leadership_of(observer) is not None:
            self.ledger.keeper.consider_soon()
        self.mail.refresh()
        self.transfers.refresh()

    def _topology_changed(self, *, fast: bool = False) -> None:
        self.membership.refresh()
        self.mail.refresh()
        self.transfers.refresh()
        self.ledger.refresh(fast=fast)
        self.ledger.keeper.consider_soon()

    def _note(self, what: str) -> None:
        self.fault_log.append((self._scheduler.now, what))


def _healthy(_process: Process, fault: Fault) -> None:
    raise ValueError(f"nothing runs on this network that could have {fault.kind!r}; use a simulated swarm")

"""One simulated process: whether it runs, what it has seen, and its queue of events."""

from __future__ import annotations

import enum
import zlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from pyfl.overlay.protocol import (
    BarrierDone,
    Committee,
    Event,
    Fault,
    Joined,
    JoinFailed,
    Leader,
    LedgerFound,
    LedgerLost,
    LinkDown,
    LinkRoute,
    Message,
    PeerDown,
    PeerInfo,
    PeerUp,
    PeerUpdate,
    Received,
    Record,
    Sent,
    Wake,
    WriteDone,
)

from .steps import Crashed

if TYPE_CHECKING:
    from collections.abc import Callable

    from .raft import Disk
    from .scheduler import Scheduler, Timer
    from .steps import Steps
    from .transfers import Post

__all__ = ["Process", "State"]

_KINDS: tuple[type, ...] = (
    PeerUp, PeerUpdate, PeerDown, LinkDown, Joined, JoinFailed, Message, Sent, Received, Record,
    WriteDone, BarrierDone, Leader, Committee, LedgerLost, LedgerFound, Wake, Fault, LinkRoute,
)  # fmt: skip
_KIND_NUMBER = {kind: number for number, kind in enumerate(_KINDS)}


class State(enum.Enum):
    """What an operating system would say of the process."""

    RUNNING = "running"
    STOPPED = "stopped"
    ENDED = "ended"


class Process:
    """A peer's process between its start and its end; a restarted peer is another Process of the same number."""

    __slots__ = (
        "_backlog",
        "_draining",
        "_on_event",
        "_scheduler",
        "_steps",
        "address",
        "applied",
        "contact_lost",
        "counters",
        "disk",
        "ends_visibly",
        "goodbye_said",
        "info",
        "joined",
        "known_leader",
        "leader_timer",
        "leaving",
        "lost_timer",
        "meshed",
        "met",
        "name",
        "number",
        "peer",
        "pending",
        "posts",
        "queue",
        "records",
        "requests",
        "running",
        "state",
        "sync_timer",
        "transfers",
        "view",
    )

    def __init__(self, scheduler: Scheduler, steps: Steps, number: int, info: PeerInfo, disk: Disk) -> None:
        self._scheduler = scheduler
        self._steps = steps
        self.number = number
        self.peer = info.peer
        self.name = info.name
        self.address = info.address
        self.info = info
        self.disk = disk
        self.state = State.RUNNING
        self.running = True
        self.meshed = False
        self.joined = False
        self.leaving = False
        self.goodbye_said = False
        self.ends_visibly = False
        # Membership: whom this process believes alive, and what it is about to learn.
        self.view: dict[int, PeerInfo] = {}
        self.met: dict[int, Process] = {}  # the life of each peer that it has seen
        self.pending: dict[int, tuple[str, Timer]] = {}
        # Transfers, by what matches them and by number.
        self.posts: dict[tuple[int, bytes, bool], Post] = {}
        self.transfers: dict[int, Post] = {}
        # The ledger as this process knows it.
        self.applied = 0
        self.records: dict[str, Record] = {}
        self.known_leader: tuple[str, int] = ("", 0)
        self.contact_lost = False
        self.leader_timer: Timer | None = None
        self.lost_timer: Timer | None = None
        self.sync_timer: Timer | None = None
        self.requests = 0
        # Events.
        self.queue: deque[Event] = deque()
        self._backlog: deque[Event] = deque()
        self._draining = False
        self._on_event: Callable[[Event], None] | None = None
        self.counters: dict[str, float] = {
            "bytes_sent": 0.0,
            "bytes_received": 0.0,
            "messages_sent": 0.0,
            "messages_received": 0.0,
            "transfers_sent": 0.0,
            "transfers_received": 0.0,
            "faults": 0.0,
        }

    def enter(self, state: State) -> None:
        """Change the state."""
        self.state = state
        self.running = state is State.RUNNING

    @property
    def ended(self) -> bool:
        """It will never run again."""
        return self.state is State.ENDED

    def run(self, call: Callable[[], None]) -> None:
        """Run this process's own code, which may end in the middle of it."""
        try:
            call()
        except Crashed:
            if not self.ended:
                raise

    @property
    def on_event(self) -> Callable[[Event], None] | None:
        """Called with each event at its virtual time; None queues them for `next_event`."""
        return self._on_event

    @on_event.setter
    def on_event(self, call: Callable[[Event], None] | None) -> None:
        self._on_event = call
        if call is not None and self.queue:
            # What was queued comes first, each as an event of its own.
            self.queue.extend(self._backlog)
            self._backlog, self.queue = self.queue, deque()
            self._drain_soon()

    def deliver(self, event: Event) -> None:
        """Hand over an event, or keep it while the process is stopped. Only the scheduler's calls may do this."""
        if self.state is State.ENDED:
            return
        if self.state is State.STOPPED or self._backlog:
            self._backlog.append(event)
            return
        self._hand(event)

    def resumed(self) -> None:
        """Hand over what waited while the process was stopped."""
        if self._backlog:
            self._drain_soon()

    def _drain_soon(self) -> None:
        if not self._draining:
            self._draining = True
            self._scheduler.schedule(0.0, self._drain)

    def _drain(self) -> None:
        self._draining = False
        if self.state is not State.RUNNING or not self._backlog:
            return
        event = self._backlog.popleft()
        if self._backlog:
            self._drain_soon()
        self._hand(event)

    def _hand(self, event: Event) -> None:
        content = 0
        if isinstance(event, Message):
            content = zlib.crc32(event.payload)
        elif isinstance(event, Record):
            content = event.index
        self._scheduler.mix(self.number * 64 + _KIND_NUMBER[type(event)], content)
        if self._on_event is None:
            self.queue.append(event)
        else:
            self.run(partial(self._handle, self._on_event, event))

    def _handle(self, call: Callable[[Event], None], event: Event) -> None:
        self._steps.before(self, "event")
        call(event)
        self._steps.after(self, "event")

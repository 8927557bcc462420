"""Small messages: eager, in order for each pair of peers, at most once."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from pyfl.errors import NoSuchPeer, OverlayArgument, OverlayFull
from pyfl.overlay.protocol import Message

from .process import Process, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from .links import Links
    from .options import NetworkOptions
    from .scheduler import Scheduler

__all__ = ["MAX_MESSAGE", "MAX_TAG", "Mail", "check_tag"]

MAX_TAG = 128
MAX_MESSAGE = 1024 * 1024


def check_tag(tag: bytes) -> None:
    """Raise `OverlayArgument` unless a tag fits."""
    if len(tag) > MAX_TAG:
        raise OverlayArgument(f"a tag has at most {MAX_TAG} bytes, got {len(tag)}; use a shorter one")


class _Pipe:
    """What is on its way from one process to another number. `generation` rises when the connection breaks."""

    __slots__ = ("draining", "generation", "held", "last_s", "waiting")

    def __init__(self) -> None:
        self.draining = False
        self.generation = 0
        self.last_s = 0.0
        self.waiting = 0
        self.held: deque[tuple[Process, Message]] = deque()


class Mail:
    """All pipes. A message to a stopped or cut-off peer is held; when the connection breaks, what it held is lost."""

    __slots__ = ("_links", "_options", "_pipes", "_processes", "_rng", "_scheduler", "duplicates", "link_down", "loss", "out_of_order")

    def __init__(self, scheduler: Scheduler, links: Links, options: NetworkOptions, processes: dict[int, Process]) -> None:
        self._scheduler = scheduler
        self._rng = scheduler.rng
        self._links = links
        self._options = options
        self._processes = processes
        self._pipes: dict[tuple[int, int], _Pipe] = {}
        self.loss = options.message_loss
        self.duplicates = self.out_of_order = 0.0
        self.link_down: Callable[[int, int], None] = _ignore

    def send(self, process: Process, number: int | None, peer: str, tag: bytes, payload: bytes) -> None:
        """Take a message for `number`. Raises `NoSuchPeer`, `OverlayFull`, `OverlayArgument`."""
        check_tag(tag)
        if len(payload) > MAX_MESSAGE:
            raise OverlayArgument(f"a message has at most {MAX_MESSAGE} bytes, got {len(payload)}; post a transfer")
        if number is None or number not in process.view:
            raise NoSuchPeer(f"peer {peer} is not a member now; wait for its peer_up")
        pipe = self._pipes.get((process.number, number))
        if pipe is None:
            pipe = self._pipes[process.number, number] = _Pipe()
        if pipe.waiting >= self._options.inbox:
            raise OverlayFull(f"{pipe.waiting} messages wait for peer {peer}; wait until it takes some")
        process.counters["messages_sent"] += 1
        process.counters["bytes_sent"] += len(payload)
        if self.loss > 0.0 and self._rng.random() < self.loss:
            return
        message = Message(process.peer, bytes(tag), bytes(payload))
        self._carry(pipe, process, number, message)
        if self.duplicates > 0.0 and self._rng.random() < self.duplicates:
            self._carry(pipe, process, number, message)

    def _carry(self, pipe: _Pipe, life: Process, receiver: int, message: Message) -> None:
        pipe.waiting += 1
        now = self._scheduler.now
        when_s = now + self._links.delay(life.number, receiver)
        if self.out_of_order > 0.0 and self._rng.random() < self.out_of_order:
            when_s += self._rng.uniform(*self._options.late_s)  # those behind it overtake it
        else:
            when_s = pipe.last_s = max(when_s, pipe.last_s)
        call = partial(self._arrive, pipe, pipe.generation, life, self._processes[receiver], message)
        self._scheduler.schedule(when_s - now, call)

    def _arrive(self, pipe: _Pipe, generation: int, life: Process, process: Process, message: Message) -> None:
        if generation != pipe.generation:
            return  # the connection broke on the way
        if process.state is State.ENDED or self._stale(life, process):
            pipe.waiting -= 1
        elif pipe.held or not self._passes(life, process):
            pipe.held.append((life, message))
        else:
            self._hand(pipe, process, message)

    def _stale(self, life: Process, process: Process) -> bool:
        # The sender ended, and its connections closed before the receiver knew that life.
        return life.state is State.ENDED and process.met.get(life.number) is not life

    def _prune(self, pipe: _Pipe, process: Process) -> None:
        while pipe.held and self._stale(pipe.held[0][0], process):
            pipe.held.popleft()
            pipe.waiting -= 1

    def _passes(self, life: Process, process: Process) -> bool:
        # A peer's first message follows its peer_up.
        known = process.met.get(life.number) is life
        return known and process.running and self._links.passes(life.number, process.number)

    def _hand(self, pipe: _Pipe, process: Process, message: Message) -> None:
        pipe.waiting -= 1
        process.counters["messages_received"] += 1
        process.counters["bytes_received"] += len(message.payload)
        process.deliver(message)

    def refresh(self) -> None:
        """Let go what was held for peers that can be reached again."""
        for (sender, receiver), pipe in self._pipes.items():
            process = self._processes[receiver]
            self._prune(pipe, process)
            if pipe.held and not pipe.draining and self._passes(pipe.held[0][0], process):
                pipe.draining = True
                delay_s = self._links.delay(sender, receiver)
                self._scheduler.schedule(delay_s, partial(self._drain, pipe, process))

    def _drain(self, pipe: _Pipe, process: Process) -> None:
        """Hand over the first held message; whatever arrives meanwhile queues up behind the held ones."""
        pipe.draining = False
        self._prune(pipe, process)
        if not pipe.held or not self._passes(pipe.held[0][0], process):
            return
        _, message = pipe.held.popleft()
        if pipe.held:
            pipe.draining = True
            self._scheduler.schedule(0.0, partial(self._drain, pipe, process))
        self._hand(pipe, process, message)

    def broken(self, a: int, b: int) -> None:
        """The connections between two peers broke: what was on its way either way is lost."""
        for pair in ((a, b), (b, a)):
            pipe = self._pipes.get(pair)
            if pipe is not None:
                pipe.generation += 1
                pipe.waiting = 0
                pipe.held.clear()

    def died(self, number: int) -> None:
        """A process ended: what it had sent may still arrive, up to a point; what was sent to it is lost."""
        for (sender, receiver), pipe in self._pipes.items():
            if receiver == number or (sender == number and self._rng.random() < 0.5):
                pipe.generation += 1
                pipe.waiting = 0
                pipe.held.clear()

    def link_cut(self, a: int, b: int) -> None:
        """A link was cut: perhaps it is noticed and the connection breaks, perhaps bytes just wait."""
        options = self._options
        if self._rng.random() < options.link_down_probability:
            self._scheduler.schedule(self._rng.uniform(*options.link_down_s), partial(self._notice, a, b))

    def _notice(self, a: int, b: int) -> None:
        if not self._links.open(a, b):  # else it was mended before anyone noticed
            self.link_broke(a, b)

    def link_broke(self, a: int, b: int) -> None:
        """Tell both ends that their connections broke; what was on its way is lost."""
        self.broken(a, b)
        self.link_down(a, b)


def _ignore(_a: int, _b: int) -> None:
    """Until the network connects its parts."""

"""Bulk transfers: posted buffers that match, bytes that move, and the ways in which that fails."""

from __future__ import annotations

import zlib
from functools import partial
from typing import TYPE_CHECKING

from pyfl.errors import NoSuchPeer, OverlayArgument, OverlayFull
from pyfl.overlay.protocol import Received, Sent

from .mail import check_tag
from .process import Process, State

if TYPE_CHECKING:
    from .links import Links
    from .options import NetworkOptions
    from .scheduler import Scheduler, Timer

__all__ = ["MAX_POSTED", "Post", "Transfers"]

MAX_POSTED = 4096


class Post:
    """One side's posted transfer; `flow` is set while bytes move."""

    __slots__ = (
        "buffer", "checksum", "flow", "number", "other", "peer", "process", "sending", "size", "tag", "timeout_s",
        "timer",
    )  # fmt: skip

    def __init__(self, number: int, process: Process, other: int, peer: str, tag: bytes, buffer: memoryview, sending: bool) -> None:
        self.number = number
        self.process = process
        self.other = other
        self.peer = peer
        self.tag = tag
        self.buffer = buffer
        self.size = len(buffer)
        self.sending = sending
        self.timeout_s = 0.0
        self.checksum = 0
        self.flow: Flow | None = None
        self.timer: Timer | None = None

    @property
    def key(self) -> tuple[int, bytes, bool]:
        """What a post is found by: no two of one process have the same."""
        return (self.other, self.tag, self.sending)


class Flow:
    """Two matched posts: `done_s` of `duration_s` had passed when it last started to move."""

    __slots__ = ("done_s", "duration_s", "moving", "receiver", "sender", "started_s", "timer")

    def __init__(self, sender: Post, receiver: Post, duration_s: float) -> None:
        self.sender = sender
        self.receiver = receiver
        self.duration_s = duration_s
        self.done_s = 0.0
        self.started_s = 0.0
        self.moving = False
        self.timer: Timer | None = None

    def progress(self, now: float) -> float:
        """The fraction of the bytes that have moved."""
        done_s = self.done_s + (now - self.started_s if self.moving else 0.0)
        return min(1.0, done_s / self.duration_s) if self.duration_s > 0.0 else 1.0


class Transfers:
    """Matches posts by (pair of peers, tag), moves the bytes in virtual time, and ends every post with one event."""

    __slots__ = ("_flows", "_links", "_next", "_options", "_processes", "_rng", "_scheduler")

    def __init__(self, scheduler: Scheduler, links: Links, options: NetworkOptions, processes: dict[int, Process]) -> None:
        self._scheduler = scheduler
        self._rng = scheduler.rng
        self._links = links
        self._options = options
        self._processes = processes
        self._flows: dict[Flow, None] = {}
        self._next = 0

    def post(
        self,
        process: Process,
        number: int | None,
        peer: str,
        tag: bytes,
        buffer: memoryview,
        timeout_s: float,
        sending: bool,
    ) -> int:
        """Post one side. Raises `NoSuchPeer`, `OverlayArgument`, `OverlayFull`."""
        check_tag(tag)
        view = memoryview(buffer)
        if not view.c_contiguous:
            raise OverlayArgument("a transfer needs a contiguous buffer; copy it to one")
        if not sending and view.readonly:
            raise OverlayArgument("a receive needs a writable buffer")
        if number is None or number not in process.view:
            raise NoSuchPeer(f"peer {peer} is not a member now; wait for its peer_up")
        if (number, tag, sending) in process.posts:
            way = "send to" if sending else "receive from"
            raise OverlayArgument(f"tag {tag!r} is posted already as a {way} {peer}; wait for its event or cancel it")
        if sum(1 for other, _, way in process.posts if other == number and way == sending) >= MAX_POSTED:
            raise OverlayFull(f"{MAX_POSTED} transfers are posted for peer {peer}; wait for events")
        self._next += 1
        flat = view if view.nbytes == 0 else view.cast("B")
        post = Post(self._next, process, number, peer, bytes(tag), flat[:0] if view.nbytes == 0 else flat, sending)
        post.timeout_s = timeout_s
        if self._options.check_buffers:
            post.checksum = zlib.crc32(post.buffer)
        process.posts[post.key] = post
        process.transfers[post.number] = post
        if timeout_s > 0.0:
            post.timer = self._scheduler.schedule(timeout_s, partial(self._expired, post))
        self._match(post)
        return post.number

    def _match(self, post: Post) -> None:
        other = self._processes[post.other]
        if post.flow is not None or not self._links.linked(post.process, other):
            return
        match = other.posts.get((post.process.number, post.tag, not post.sending))
        if match is None or match.flow is not None:
            return
        sender, receiver = (post, match) if post.sending else (match, post)
        options = self._options
        if sender.size != receiver.size:
            duration_s = 0.0
        else:
            duration_s = sender.size / self._rng.uniform(*options.bandwidth_bytes_s)
        # Both sides must hear that the other has posted before a byte moves.
        duration_s += 2 * self._links.delay(sender.process.number, receiver.process.number)
        flow = Flow(sender, receiver, duration_s)
        sender.flow = receiver.flow = flow
        for side in (sender, receiver):
            if side.timer is not None:
                side.timer.cancel()
        self._flows[flow] = None
        self._move(flow)

    def _move(self, flow: Flow) -> None:
        if flow.timer is not None:
            flow.timer.cancel()
        flow.moving = True
        flow.started_s = self._scheduler.now
        flow.timer = self._scheduler.schedule(flow.duration_s - flow.done_s, partial(self._finish, flow))

    def _pause(self, flow: Flow) -> None:
        if flow.timer is not None:
            flow.timer.cancel()
        flow.done_s = min(flow.duration_s, flow.done_s + self._scheduler.now - flow.started_s)
        flow.moving = False
        limits = [post.timeout_s for post in (flow.sender, flow.receiver) if post.timeout_s > 0.0]
        flow.timer = self._scheduler.schedule(min([*limits, self._options.transfer_s]), partial(self._stuck, flow))

    def _finish(self, flow: Flow) -> None:
        sender, receiver = flow.sender, flow.receiver
        if sender.size != receiver.size:
            self._drop(flow)
            self._end(sender, "size", 0)
            self._end(receiver, "size", 0)
            return
        self._check(sender)
        self._check(receiver)
        if sender.size:
            receiver.buffer[:] = sender.buffer
        self._drop(flow)
        self._end(sender, "", sender.size, checked=True)
        self._end(receiver, "", receiver.size, checked=True)

    def _stuck(self, flow: Flow) -> None:
        """Nothing moved for too long."""
        self._fail(flow, "timeout")

    def _fail(self, flow: Flow, error: str) -> None:
        """Both sides end; what had arrived is in the receive buffer."""
        self._spill(flow)
        self._end(flow.sender, error, 0)
        self._end(flow.receiver, error, 0)

    def _spill(self, flow: Flow) -> None:
        """Take a flow apart, leaving in the receive buffer what had arrived until now.

        Rarely that is everything: then the receiver's end is a success, and only the sender does not hear of it.
        """
        sender, receiver = flow.sender, flow.receiver
        options = self._options
        progress = flow.progress(self._scheduler.now)
        self._drop(flow)
        if receiver.process.state is State.ENDED or sender.size != receiver.size:
            return
        self._check(receiver)
        whole = progress > 0.5 and self._rng.random() < options.received_without_sent_probability
        moved = receiver.size if whole else int(progress * self._rng.random() * receiver.size)
        receiver.buffer[:moved] = sender.buffer[:moved]
        sender.process.counters["bytes_sent"] += moved
        if whole:
            self._end(receiver, "", receiver.size, checked=True)
        elif options.check_buffers:
            receiver.checksum = zlib.crc32(receiver.buffer)

    def _drop(self, flow: Flow) -> None:
        self._flows.pop(flow, None)
        if flow.timer is not None:
            flow.timer.cancel()
        flow.sender.flow = flow.receiver.flow = None

    def _expired(self, post: Post) -> None:
        """The other side did not post in time."""
        self._end(post, "timeout", 0)

    def _check(self, post: Post) -> None:
        if self._options.check_buffers and zlib.crc32(post.buffer) != post.checksum:
            way = "send" if post.sending else "receive"
            raise AssertionError(
                f"buffer changed while the overlay owned it: {way} {post.tag!r} of {post.process.name} with "
                f"{post.peer}; a posted buffer must not be touched before its event or cancel"
            )

    def _end(self, post: Post, error: str, size: int, *, checked: bool = False) -> None:
        """A post ends; its event comes a little later. Its buffer is the caller's from now on, untouched."""
        process = post.process
        if process.transfers.pop(post.number, None) is None:
            return
        if process.posts.get(post.key) is post:
            del process.posts[post.key]
        if post.timer is not None:
            post.timer.cancel()
        if not checked and process.state is not State.ENDED:
            self._check(post)
        counters = process.counters
        if post.sending:
            counters["bytes_sent"] += size
            counters["transfers_sent"] += 1
            event = Sent(post.number, post.peer, post.tag, not error, error, size)
        else:
            counters["bytes_received"] += size
            counters["transfers_received"] += 1
            event = Received(post.number, post.peer, post.tag, not error, error, size)
        post.buffer = memoryview(b"")
        delay_s = self._rng.random() * self._options.jitter_s
        self._scheduler.schedule(delay_s, partial(process.deliver, event))

    def cancel(self, process: Process, number: int) -> bool:
        """End a transfer now; False if it had ended. The other side waits for another match."""
        post = process.transfers.get(number)
        if post is None:
            if not 0 < number <= self._next:
                raise OverlayArgument(f"no transfer {number} was ever posted")
            return False
        flow = post.flow
        if flow is not None:
            self._spill(flow)
            self._wait_again(flow.receiver if post.sending else flow.sender)
        if post.number not in process.transfers:
            return False  # everything had arrived
        self._end(post, "cancelled", 0)
        return True

    def _wait_again(self, post: Post) -> None:
        """Let a post whose other side went wait for another, once it has heard of it."""
        if post.number not in post.process.transfers:
            return
        if post.timeout_s > 0.0:
            post.timer = self._scheduler.schedule(post.timeout_s, partial(self._expired, post))
        delay_s = self._links.delay(post.process.number, post.other)
        self._scheduler.schedule(delay_s, partial(self._match_if_posted, post))

    def _match_if_posted(self, post: Post) -> None:
        if post.number in post.process.transfers:
            self._match(post)

    def lost(self, observer: Process, number: int, confirmed: bool) -> None:
        """An observer gave a peer up: what it has posted for it ends, after a mere hint perhaps not."""
        if not confirmed and self._rng.random() < self._options.hint_keeps_transfers_probability:
            return
        for post in [post for post in observer.transfers.values() if post.other == number]:
            if post.flow is not None:
                self._break(post.flow, post)
            self._end(post, "peer_lost", 0)

    def _break(self, flow: Flow, seen_by: Post) -> None:
        """One side gave up: the other, if it lives, sees the connection close."""
        self._spill(flow)
        other = flow.receiver if seen_by is flow.sender else flow.sender
        if other.process.state is not State.ENDED and other.number in other.process.transfers:
            delay_s = self._links.delay(other.process.number, seen_by.process.number)
            self._scheduler.schedule(delay_s, partial(self._end, other, "peer_lost", 0))

    def link_broke(self, a: int, b: int) -> None:
        """The connections between two peers broke: what was under way on them ends, what waited goes on waiting."""
        for flow in list(self._flows):
            if {flow.sender.process.number, flow.receiver.process.number} == {a, b}:
                self._fail(flow, "peer_lost")

    def refresh(self) -> None:
        """Pause and resume what moves, and match what waits, after a change of who runs or who is linked."""
        for flow in list(self._flows):
            open_now = self._links.linked(flow.sender.process, flow.receiver.process)
            if flow.moving and not open_now:
                self._pause(flow)
            elif open_now and not flow.moving:
                self._move(flow)
        for process in self._processes.values():
            if process.running:
                for post in list(process.posts.values()):
                    if post.flow is None:
                        self._match(post)

    def ended(self, process: Process) -> None:
        """A process ended: its buffers are gone, and its posts with it. Others find out in their own time."""
        for flow in [flow for flow in self._flows if process in (flow.sender.process, flow.receiver.process)]:
            other = flow.receiver if flow.sender.process is process else flow.sender
            self._spill(flow)
            if other.process.state is not State.ENDED and other.number in other.process.transfers:
                # It stays until its peer is given up, or until nothing moved for too long.
                other.process.posts.pop(other.key, None)
                limits = [other.timeout_s] if other.timeout_s > 0.0 else []
                limit_s = min([*limits, self._options.transfer_s])
                other.timer = self._scheduler.schedule(limit_s, partial(self._end, other, "timeout", 0))
        process.posts.clear()
        process.transfers.clear()

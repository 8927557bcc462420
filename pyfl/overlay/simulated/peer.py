"""One peer's side of the simulated network: the `Overlay` protocol over a simulated process."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pyfl.errors import OverlayArgument, OverlayClosed
from pyfl.overlay.protocol import Event, PeerInfo, Record, Wake, Write

from .process import Process, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .network import SimulatedNetwork
    from .raft import Disk
    from .scheduler import Timer

__all__ = ["SimulatedOverlay"]

MAX_META = 256


class SimulatedOverlay:
    """An `Overlay` whose time is the network's. Set `on_event` to be called at each event's virtual time.

    Without `on_event` events wait for `next_event`, which does not block: virtual time passes in
    `SimulatedNetwork.run` only. Calls on a closed or killed overlay raise `OverlayClosed`.
    """

    __slots__ = ("_closing", "_network", "process")

    def __init__(self, network: SimulatedNetwork, process: Process) -> None:
        self._network = network
        self.process = process
        self._closing = False

    def __repr__(self) -> str:
        return f"<SimulatedOverlay {self.process.name} {self.process.state.value}>"

    @property
    def me(self) -> str:
        """This peer's id."""
        return self.process.peer

    @property
    def name(self) -> str:
        """This peer's name for people."""
        return self.process.name

    @property
    def address(self) -> str:
        """The address this peer would listen on."""
        return self.process.address

    @property
    def alive(self) -> bool:
        """False once closed, killed or replaced by a restart."""
        return self.process.state is not State.ENDED

    @property
    def disk(self) -> Disk:
        """The peer's ledger log, to start another process with."""
        return self.process.disk

    @property
    def on_event(self) -> Callable[[Event], None] | None:
        """Called by the scheduler with each event at its virtual time; None queues them."""
        return self.process.on_event

    @on_event.setter
    def on_event(self, call: Callable[[Event], None] | None) -> None:
        self.process.on_event = call

    @property
    def now(self) -> float:
        """The network's virtual time in seconds."""
        return self._network.now

    def schedule(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """A timer of this process: it never fires after its death, and only after the resume while stopped."""
        return self._network.schedule(delay_s, partial(self._fire, call))

    def _fire(self, call: Callable[[], None]) -> None:
        state = self.process.state
        if state is State.RUNNING and not self._closing:
            self.process.run(call)
        elif state is State.STOPPED:
            self._network.when_resumed(self.process, partial(self._fire, call))

    def _live(self) -> Process:
        process = self.process
        if process.state is State.RUNNING and not self._closing:
            return process
        if process.state is State.STOPPED:
            raise AssertionError(f"{process.name} is stopped and cannot call; use overlay.schedule for a peer's own timers")
        raise OverlayClosed(f"the overlay of {process.name} was closed; open another")

    # The Overlay protocol.

    def next_event(self, timeout_s: float) -> Event | None:  # noqa: ARG002
        """The next queued event or None; `timeout_s` is not waited for."""
        process = self.process
        if process.state is State.STOPPED:
            return None
        if process.queue:
            return process.queue.popleft()
        if process.state is State.ENDED or self._closing:
            raise OverlayClosed(f"the overlay of {process.name} was closed, and its events are drained")
        return None

    def wake(self, payload: bytes = b"") -> None:
        """Put a `Wake` into this peer's own queue."""
        self._network.schedule(0.0, partial(self._live().deliver, Wake(bytes(payload))))

    def peers(self) -> list[PeerInfo]:
        """The members that this peer believes alive, without itself."""
        return list(self._live().view.values())

    def announce(self, meta: bytes, eligible: bool) -> None:
        """Replace what others see of this peer. Raises `OverlayArgument` beyond 256 bytes."""
        if len(meta) > MAX_META:
            raise OverlayArgument(f"meta has at most {MAX_META} bytes, got {len(meta)}")
        self._network.announce(self._live(), bytes(meta), eligible)

    def message(self, peer: str, tag: bytes, payload: bytes) -> None:
        """Send a small message. Raises `NoSuchPeer`, `OverlayFull`, `OverlayArgument`."""
        process, network = self._live(), self._network
        network.steps.before(process, "message")
        network.mail.send(process, network.number_of(peer), peer, tag, payload)
        network.steps.after(process, "message")

    def send(self, peer: str, tag: bytes, buffer: memoryview, timeout_s: float = 0.0) -> int:
        """Post a bulk send. Raises `NoSuchPeer`, `OverlayFull`, `OverlayArgument`."""
        return self._post(peer, tag, buffer, timeout_s, sending=True)

    def receive(self, peer: str, tag: bytes, buffer: memoryview, timeout_s: float = 0.0) -> int:
        """Post a bulk receive of exactly the buffer's size; otherwise as `send`."""
        return self._post(peer, tag, buffer, timeout_s, sending=False)

    def _post(self, peer: str, tag: bytes, buffer: memoryview, timeout_s: float, *, sending: bool) -> int:
        process, steps = self._live(), self._network.steps
        steps.before(process, "transfer")
        transfer = self._network.post(process, peer, tag, buffer, timeout_s, sending=sending)
        steps.after(process, "transfer")
        return transfer

    def cancel(self, transfer: int) -> bool:
        """End a transfer; False if it had ended already."""
        return self._network.transfers.cancel(self._live(), transfer)

    def write(self, writes: Sequence[Write]) -> int:
        """Compare and set records, all or none; ends in `WriteDone`."""
        process, steps = self._live(), self._network.steps
        steps.before(process, "write")
        request = self._network.ledger.write(process, writes)
        steps.after(process, "write")
        return request

    def barrier(self) -> int:
        """Leader only; ends in `BarrierDone`."""
        return self._network.ledger.barrier(self._live())

    def read(self, key: str) -> Record | None:
        """A record as this peer knows it."""
        return self._live().records.get(key)

    def yield_leadership(self) -> None:
        """Hand leadership to another voter. Raises `NotTheLeader`."""
        self._network.ledger.hand_over(self._live())

    def stats(self) -> dict[str, float]:
        """Counters and gauges."""
        process = self.process
        return {**process.counters, "posted": float(len(process.transfers)), "peers": float(len(process.view))}

    def leave(self, timeout_s: float = 3.0) -> None:
        """Say goodbye to everyone. Returns at once: what it needs happens in virtual time, also after `close`."""
        self._network.start_leaving(self._live(), timeout_s)

    def close(self) -> None:
        """Stop everything, after a leave under way. Idempotent."""
        if self._closing or self.process.state is State.ENDED:
            return
        self._closing = True
        self.process.on_event = None
        self._network.close(self.process)

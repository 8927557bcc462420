"""The real overlay: gocore's shared library behind the `Overlay` protocol.

Importing this module does not load the library; the first `RealOverlay` does. Go does not survive a fork, so a process
that forks opens its overlays after that.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pyfl.errors import OverlayArgument, OverlayConfigError, TransferGone
from pyfl.overlay.config import OverlayConfig
from pyfl.overlay.library import ERROR_BYTES, FIRST_BYTES, answer, fail, load
from pyfl.overlay.protocol import Event, PeerInfo, Received, Record, Sent, Write

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RealOverlay"]

_SLICE_S = 0.5  # a blocking call returns this often, so that signals are seen

_event_decoder = msgspec.msgpack.Decoder(Event)
_peers_decoder = msgspec.msgpack.Decoder(list[PeerInfo])
_stats_decoder = msgspec.msgpack.Decoder(dict[str, float])


class _StoredRecord(msgspec.Struct, frozen=True):
    """A record as `p2p_read` gives it: an event without its kind."""

    key: str
    version: int
    index: int
    value: bytes


_record_decoder = msgspec.msgpack.Decoder(_StoredRecord)
_writes_encoder = msgspec.msgpack.Encoder()


class RealOverlay:
    """One node of the swarm, of this process. Thread-safe; only `next_event`, `leave`, `close` and `cancel` block.

    Raises `OverlayConfigError`, `AddressInUse` or `OverlayForked` when it cannot start.
    """

    def __init__(self, config: OverlayConfig | Mapping[str, object]) -> None:
        self._library = load()
        self._ffi, self._lib = self._library.ffi, self._library.lib
        if not isinstance(config, OverlayConfig):
            try:
                config = msgspec.convert(config, OverlayConfig)
            except msgspec.ValidationError as error:
                raise OverlayConfigError(f"overlay configuration: {error}") from error
        text = msgspec.json.encode(config)
        handle = self._ffi.new("int64_t *")
        self._call(self._lib.p2p_open, text, len(text), handle)
        self._handle: int = handle[0]
        self._me, _ = self._self()
        self._lock = threading.Lock()
        self._buffers: dict[int, object] = {}  # of posted transfers: Go writes to them until their event
        self._spare: list[Any] = []  # event buffers that no thread reads into
        self._free = weakref.finalize(self, self._lib.p2p_free, self._handle)

    @property
    def me(self) -> str:
        """This peer's id."""
        return self._me

    @property
    def address(self) -> str:
        """The address by which the others know this peer, `ip:port`; another one after its machine moved."""
        return self._self()[1]

    def _self(self) -> tuple[str, str]:
        me, address = self._ffi.new("char[64]"), self._ffi.new("char[256]")
        self._check(self._lib.p2p_self(self._handle, me, 64, address, 256))
        return self._ffi.string(me).decode(), self._ffi.string(address).decode()

    def next_event(self, timeout_s: float) -> Event | None:
        """Wait for the next event; None after `timeout_s`. Raises `OverlayClosed` once closed and drained."""
        deadline = time.monotonic() + timeout_s
        needed = self._ffi.new("size_t *")
        with self._lock:
            buffer = self._spare.pop() if self._spare else self._ffi.new("char[]", FIRST_BYTES)
        while True:
            left_s = max(0.0, min(deadline - time.monotonic(), _SLICE_S))
            size = self._lib.p2p_next_event(self._handle, buffer, len(buffer), int(left_s * 1000 + 0.999), needed)
            if size == self._lib.P2P_ERR_SMALL:
                buffer = self._ffi.new("char[]", needed[0])
            elif size > 0:
                break
            elif size < 0:
                self._check(size)
            elif time.monotonic() >= deadline:
                break
        event = _event_decoder.decode(self._ffi.buffer(buffer, size)) if size > 0 else None
        with self._lock:
            if len(buffer) <= 4 * FIRST_BYTES:
                self._spare.append(buffer)
            if isinstance(event, Sent | Received):
                self._buffers.pop(event.transfer, None)
        return event

    def wake(self, payload: bytes = b"") -> None:
        """Put a `Wake` into this peer's own queue."""
        self._call(self._lib.p2p_wake, self._handle, payload, len(payload))

    def peers(self) -> list[PeerInfo]:
        """List the live members, without this peer."""
        return _peers_decoder.decode(self._answer(self._lib.p2p_peers, self._handle))

    def announce(self, meta: bytes, eligible: bool) -> None:
        """Replace what others see of this peer (at most 256 bytes); `eligible`: may become a voter."""
        self._call(self._lib.p2p_announce, self._handle, meta, len(meta), int(eligible))

    def message(self, peer: str, tag: bytes, payload: bytes) -> None:
        """Send a small message. Raises `NoSuchPeer`, `OverlayFull`, `OverlayArgument`."""
        self._call(self._lib.p2p_message, self._handle, peer.encode(), tag, len(tag), payload, len(payload))

    def send(self, peer: str, tag: bytes, buffer: memoryview, timeout_s: float = 0.0) -> int:
        """Post a bulk send. Raises `NoSuchPeer`, `OverlayFull`, `OverlayArgument`."""
        return self._post(self._lib.p2p_send, peer, tag, buffer, timeout_s, writable=False)

    def receive(self, peer: str, tag: bytes, buffer: memoryview, timeout_s: float = 0.0) -> int:
        """Post a bulk receive. Raises `NoSuchPeer`, `OverlayFull`, `OverlayArgument`."""
        return self._post(self._lib.p2p_receive, peer, tag, buffer, timeout_s, writable=True)

    def _post(self, post: Callable[..., int], peer: str, tag: bytes, buffer: memoryview, timeout_s: float, *, writable: bool) -> int:
        view = memoryview(buffer)
        if not view.c_contiguous:
            raise OverlayArgument("a transfer needs a contiguous buffer; copy it to one")
        if writable and view.readonly:
            raise OverlayArgument("a receive needs a writable buffer")
        memory = self._ffi.from_buffer("char[]", view, require_writable=writable)
        number = self._ffi.new("int64_t *")
        # Rounded up: a wait that was asked for does not become the 0 that means none.
        timeout_ms = int(timeout_s * 1000 + 0.999) if timeout_s > 0.0 else 0
        with self._lock:  # its event may be read before this call returns
            self._call(post, self._handle, peer.encode(), tag, len(tag), memory, view.nbytes, timeout_ms, number)
            transfer: int = number[0]
            self._buffers[transfer] = memory
        return transfer

    def cancel(self, transfer: int) -> bool:
        """End a transfer; on return no byte of its buffer is touched any more. False if it had ended already."""
        try:
            self._call(self._lib.p2p_cancel, self._handle, transfer)
        except TransferGone:
            return False
        with self._lock:
            self._buffers.pop(transfer, None)
        return True

    def write(self, writes: Sequence[Write]) -> int:
        """Compare and set records, all or none; ends in `WriteDone`. Raises `OverlayArgument`."""
        ops = _writes_encoder.encode(list(writes))
        request = self._ffi.new("int64_t *")
        self._call(self._lib.p2p_write, self._handle, ops, len(ops), request)
        return request[0]

    def barrier(self) -> int:
        """Leader only; ends in `BarrierDone`."""
        request = self._ffi.new("int64_t *")
        self._call(self._lib.p2p_barrier, self._handle, request)
        return request[0]

    def read(self, key: str) -> Record | None:
        """Give a record as this peer knows it."""
        answer = self._answer(self._lib.p2p_read, self._handle, key.encode())
        if not answer:
            return None
        stored = _record_decoder.decode(answer)
        return Record(key=stored.key, version=stored.version, index=stored.index, value=stored.value)

    def yield_leadership(self) -> None:
        """Leader only: hand leadership to another voter. Raises `NotTheLeader`."""
        self._call(self._lib.p2p_yield, self._handle)

    def stats(self) -> dict[str, float]:
        """Give the counters and gauges."""
        return _stats_decoder.decode(self._answer(self._lib.p2p_stats, self._handle))

    def leave(self, timeout_s: float = 3.0) -> None:
        """Say goodbye to everyone; call `close` after it. Raises `OverlayTimeout` if not everyone was told."""
        self._call(self._lib.p2p_leave, self._handle, int(timeout_s * 1000))

    def close(self) -> None:
        """Stop everything. Idempotent. Events that are queued can still be read."""
        if self._free.alive:
            self._check(self._lib.p2p_close(self._handle))
            with self._lock:
                self._buffers.clear()  # every transfer has ended

    def __enter__(self) -> RealOverlay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, function: Callable[..., int], *arguments: object) -> None:
        error = self._ffi.new("char[]", ERROR_BYTES)
        code = function(*arguments, error, ERROR_BYTES)
        if code < 0:
            fail(self._library, code, self._ffi.string(error).decode("utf-8", "replace"))

    def _answer(self, function: Callable[..., int], *arguments: object) -> bytes:
        return answer(self._library, lambda buffer, size, needed: function(*arguments, buffer, size, needed))

    def _check(self, code: int) -> None:
        fail(self._library, code)

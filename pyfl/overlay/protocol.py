"""The overlay as the learning side sees it: one protocol, kept by the real overlay and its simulated twin.

Nothing here knows of models or rounds. `tests/overlay/conformance` is the behaviour both keep.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Protocol

import msgspec

__all__ = [
    "BarrierDone",
    "Committee",
    "Event",
    "Fault",
    "JoinFailed",
    "JoinFailure",
    "Joined",
    "Leader",
    "LedgerFound",
    "LedgerLost",
    "LinkDown",
    "LinkRoute",
    "Message",
    "Overlay",
    "PeerDown",
    "PeerInfo",
    "PeerUp",
    "PeerUpdate",
    "Received",
    "Record",
    "Sent",
    "Wake",
    "Write",
    "WriteDone",
]


class PeerInfo(msgspec.Struct, frozen=True):
    """A live member. `peer` is its id: 32 hexadecimal characters."""

    peer: str
    name: str = ""
    address: str = ""
    labels: dict[str, str] = {}
    meta: bytes = b""
    eligible: bool = False
    via: str = ""


class PeerUp(PeerInfo, frozen=True, tag_field="kind", tag="peer_up"):
    """A member appeared."""


class PeerUpdate(PeerInfo, frozen=True, tag_field="kind", tag="peer_update"):
    """A member announced something new."""


class PeerDown(msgspec.Struct, frozen=True, tag_field="kind", tag="peer_down"):
    """A member went: `reason` is left, refused or gossip; the last is a hint (`confirmed` is false)."""

    peer: str
    reason: str
    confirmed: bool


class LinkDown(msgspec.Struct, frozen=True, tag_field="kind", tag="link_down"):
    """A connection broke, but the peer answered again or may only be slow."""

    peer: str


class LinkRoute(msgspec.Struct, frozen=True, tag_field="kind", tag="link_route"):
    """Connections to a peer go by way of the peer `via` from now on, as they cannot be made straight; empty: straight again."""

    peer: str
    via: str


class Joined(msgspec.Struct, frozen=True, tag_field="kind", tag="joined"):
    """The first join succeeded."""

    address: str


class JoinFailure(msgspec.Struct, frozen=True):
    """Why one address could not be joined; `refused`: it answered, and did not accept our certificate."""

    address: str
    error: str
    refused: bool


class JoinFailed(msgspec.Struct, frozen=True, tag_field="kind", tag="join_failed"):
    """No address could be joined within the join timeout; the overlay goes on trying."""

    failures: list[JoinFailure]


class Message(msgspec.Struct, frozen=True, tag_field="kind", tag="message"):
    """A small message from a peer."""

    peer: str
    tag: bytes
    payload: bytes


class Sent(msgspec.Struct, frozen=True, tag_field="kind", tag="sent"):
    """A posted send ended; `error` is cancelled, timeout, peer_lost, size or no_peer when not `ok`."""

    transfer: int
    peer: str
    tag: builtins.bytes  # `bytes` is a field here
    ok: bool
    error: str = ""
    bytes: int = 0


class Received(msgspec.Struct, frozen=True, tag_field="kind", tag="received"):
    """A posted receive ended; fields as in `Sent`."""

    transfer: int
    peer: str
    tag: builtins.bytes  # `bytes` is a field here
    ok: bool
    error: str = ""
    bytes: int = 0


class Record(msgspec.Struct, frozen=True, tag_field="kind", tag="record"):
    """A ledger record's newest value; versions only rise, older values may have been skipped."""

    key: str
    version: int
    index: int
    value: bytes


class WriteDone(msgspec.Struct, frozen=True, tag_field="kind", tag="write_done"):
    """A write ended; `error` is conflict, not_leader, denied, timeout or lost when not `ok`.

    After timeout or lost the write may still commit.
    """

    request: int
    ok: bool
    error: str = ""


class BarrierDone(msgspec.Struct, frozen=True, tag_field="kind", tag="barrier_done"):
    """A barrier ended: what was committed before it has been delivered as `Record`s before this event."""

    request: int
    ok: bool
    error: str = ""


class Leader(msgspec.Struct, frozen=True, tag_field="kind", tag="leader"):
    """The committee's leader changed; empty when unknown."""

    leader: str
    me: bool
    term: int


class Committee(msgspec.Struct, frozen=True, tag_field="kind", tag="committee"):
    """The ledger's voters changed."""

    voters: list[str]
    ledger: str = ""
    epoch: int = 0


class LedgerLost(msgspec.Struct, frozen=True, tag_field="kind", tag="ledger_lost"):
    """No contact with a leader for two election timeouts."""

    age_ms: int


class LedgerFound(msgspec.Struct, frozen=True, tag_field="kind", tag="ledger_found"):
    """Contact with a leader is back."""


class Wake(msgspec.Struct, frozen=True, tag_field="kind", tag="wake"):
    """Another thread of this process called `wake`."""

    payload: bytes = b""


class Fault(msgspec.Struct, frozen=True, tag_field="kind", tag="fault"):
    """A defence fired: hostile bytes, a refused handshake, a recovered panic."""

    where: str
    error: str


Event = (
    PeerUp | PeerUpdate | PeerDown | LinkDown | LinkRoute | Joined | JoinFailed | Message | Sent | Received | Record
    | WriteDone | BarrierDone | Leader | Committee | LedgerLost | LedgerFound | Wake | Fault
)  # fmt: skip


class Write(msgspec.Struct, frozen=True):
    """One compare-and-set: `version` is the expected version, 0 for an absent record."""

    key: str
    version: int
    value: bytes


class Overlay(Protocol):
    """Who is here, tagged messages and bulk transfers, and the ledger. Thread-safe; only `next_event` blocks."""

    @property
    def me(self) -> str:
        """This peer's id."""
        ...

    @property
    def address(self) -> str:
        """The address by which the others know this peer, `ip:port`."""
        ...

    def next_event(self, timeout_s: float) -> Event | None:
        """The next event, or None after `timeout_s`. Raises `OverlayClosed` once closed and drained."""
        ...

    def wake(self, payload: bytes = b"") -> None:
        """Put a `Wake` into this peer's own queue."""
        ...

    def peers(self) -> list[PeerInfo]:
        """The live members, without this peer."""
        ...

    def announce(self, meta: bytes, eligible: bool) -> None:
        """Replace what others see of this peer (at most 256 bytes); `eligible`: may become a voter."""
        ...

    def message(self, peer: str, tag: bytes, payload: bytes) -> None:
        """Send a small message (at most 1 MiB), in order per peer, at most once. Raises `NoSuchPeer`, `OverlayFull`."""
        ...

    def send(self, peer: str, tag: bytes, buffer: memoryview, timeout_s: float = 0.0) -> int:
        """Post a bulk send; returns the transfer's number. The buffer is the overlay's until `Sent` or `cancel`."""
        ...

    def receive(self, peer: str, tag: bytes, buffer: memoryview, timeout_s: float = 0.0) -> int:
        """Post a bulk receive of exactly the buffer's size; otherwise as `send`."""
        ...

    def cancel(self, transfer: int) -> bool:
        """End a transfer; on return no byte of its buffer is touched any more. False if it had ended already."""
        ...

    def write(self, writes: Sequence[Write]) -> int:
        """Compare and set records, all or none; ends in `WriteDone` with the returned request number."""
        ...

    def barrier(self) -> int:
        """Leader only; ends in `BarrierDone` with the returned request number."""
        ...

    def read(self, key: str) -> Record | None:
        """A record as this peer knows it."""
        ...

    def yield_leadership(self) -> None:
        """Leader only: hand leadership to another voter."""
        ...

    def stats(self) -> dict[str, float]:
        """Counters and gauges."""
        ...

    def leave(self, timeout_s: float = 3.0) -> None:
        """Say goodbye to everyone; call `close` after it."""
        ...

    def close(self) -> None:
        """Stop everything. Idempotent."""
        ...

"""Small messages between round machines. Every one can be lost or repeated: reports tell a whole state, not a change."""

from __future__ import annotations

import msgspec

from pyfl.errors import MessageError

__all__ = ["Accuse", "Held", "Message", "PullOffer", "PullOpen", "PullWant", "Ready", "Report", "Score", "decode", "encode"]

LONGEST = 100_000  # entries of any list in a message; more is hostile


class Ready(msgspec.Struct, frozen=True):
    """An update to contribute, or (not `finite`) that there is none. Exponents: one a tensor, frexp's."""

    round: int
    samples: int
    exponents: tuple[int, ...]
    weight_exponents: tuple[int, ...]
    finite: bool
    train_s: float
    loss: float | None = None
    residual: int = 0
    """The round whose update, which was not counted in it, is part of this one; 0: none is."""


class Held(msgspec.Struct, frozen=True):
    """The whole result of (round, epoch), by its digests."""

    round: int
    epoch: int
    model: str
    state: str
    finite: bool = True
    scores: bool = False
    """A score follows."""


class Score(msgspec.Struct, frozen=True):
    """Sums over this peer's share of the held-out data, for the result of (round, epoch)."""

    round: int
    epoch: int
    samples: int
    loss_sum: float
    correct: int | None


class Report(msgspec.Struct, frozen=True, tag_field="kind", tag="report"):
    """Where a member stands; sent to the coordinator on every change and once a second."""

    instance: int
    have: int
    """Newest committed round held, -2 for none."""
    round: int
    epoch: int
    progress: int
    """Rises with every segment of its reduce, or else of the model that it fetches; 0: it does neither."""
    ready: Ready | None = None
    held: Held | None = None
    score: Score | None = None
    finished: bytes = b""
    """Bitmap of the segments that are finished of (round, epoch)'s reduce."""


class Accuse(msgspec.Struct, frozen=True, tag_field="kind", tag="accuse"):
    """A segment could not be exchanged with `peer` in (round, epoch)."""

    round: int
    epoch: int
    peer: str
    why: str


class PullOpen(msgspec.Struct, frozen=True, tag_field="kind", tag="pull_open"):
    """Asks for the model with these digests."""

    pull: int
    round: int
    model: str
    state: str


class PullOffer(msgspec.Struct, frozen=True, tag_field="kind", tag="pull_offer"):
    """Answers a `PullOpen`: the digests of the segments of each vector (the model, then the server state), or a refusal."""

    pull: int
    ok: bool
    vectors: tuple[tuple[bytes, ...], ...] = ()
    why: str = ""


class PullWant(msgspec.Struct, frozen=True, tag_field="kind", tag="pull_want"):
    """The receives for these (vector, segment) pairs are posted; send them."""

    pull: int
    parts: tuple[tuple[int, int], ...]


Message = Report | Accuse | PullOpen | PullOffer | PullWant

_decoder = msgspec.msgpack.Decoder(Message)
_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """The message as MessagePack."""
    return _encoder.encode(message)


def decode(payload: bytes) -> Message:
    """Read a stranger's bytes; raises `MessageError` saying what is wrong with them."""
    try:
        message = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"A message of {len(payload)} bytes cannot be read: {error}. Expected one of pyfl's messages.") from error
    parts = _entries(message)
    if parts > LONGEST:
        raise MessageError(f"A message lists {parts} entries; expected at most {LONGEST}.")
    return message


def _entries(message: Message) -> int:
    match message:
        case PullOffer():
            return sum(map(len, message.vectors))
        case PullWant():
            return len(message.parts)
        case Report():
            return len(message.ready.exponents) if message.ready else 0
        case _:
            return 0

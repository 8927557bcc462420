"""What the round machine asks of its driver, and what the driver tells it back. Plain values: the machine does no IO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pyfl.events import ObservedEvent
from pyfl.overlay.protocol import Write
from pyfl.rounds.early_stopping import Best
from pyfl.rounds.messages import Held, Message, Ready, Score
from pyfl.rounds.records import RoundRecord, RunRecord
from pyfl.training.layout import Layout

__all__ = [
    "Action",
    "Add",
    "Added",
    "Adopt",
    "Announce",
    "Barrier",
    "BeginReduce",
    "Build",
    "Built",
    "CancelTransfers",
    "CheckPart",
    "Evaluate",
    "Evaluated",
    "Exit",
    "Fill",
    "Finish",
    "Install",
    "Observe",
    "Offer",
    "Part",
    "PartChecked",
    "Pin",
    "Place",
    "PostReceive",
    "PostSend",
    "Prepare",
    "Propose",
    "ResultReady",
    "Say",
    "SegmentTag",
    "Stage",
    "Staged",
    "StartTraining",
    "StopTraining",
    "Tick",
    "Trained",
    "TransferEnded",
]


class SegmentTag(NamedTuple):
    """Names a transfer within the run. `kind` u: partial up, d: sum down, f: finished segment down, p: part of a pull."""

    kind: str
    round: int
    epoch: int
    segment: int
    vector: int = 0

    def encode(self, run: str) -> bytes:
        """The overlay's tag."""
        return f"{run}/{self.kind}{self.round}.{self.epoch}.{self.segment}.{self.vector}".encode()


class Place(NamedTuple):
    """Where a segment's bytes are. `buffer`: result, base, scratch; `vector` 0 is the model, 1.. the server state.

    `beside`: the part of a vector of the result's server state that belongs to a segment of the model.

    The last of these is the sum of the statistics, in a run that prepares some.
    """

    buffer: str
    segment: int
    vector: int = 0
    scratch: int = 0


class Part(NamedTuple):
    """One segment of one vector (0: the model, 1..: the server state)."""

    vector: int
    segment: int


# ---- actions


@dataclass(frozen=True, slots=True)
class Build:
    """Build the model of this run; answered by `Built`."""

    run: RunRecord


@dataclass(frozen=True, slots=True)
class StartTraining:
    """Train from the base model; answered by `Trained`. `deadline_s` seconds from now, 0 for none. One at a time."""

    round: int
    epoch: int
    attempt: int
    deadline_s: float
    residual: int = 0
    """The round whose update is to be added to this one's: it is where the last training left it. 0: none."""


@dataclass(frozen=True, slots=True)
class StopTraining:
    """Training of this round is of no use any more."""

    round: int


@dataclass(frozen=True, slots=True)
class BeginReduce:
    """The arithmetic of this record applies to the segments that follow."""

    record: RoundRecord


@dataclass(frozen=True, slots=True)
class Fill:
    """Set the result's segment to this peer's quantised contribution, or to zero."""

    segment: int


@dataclass(frozen=True, slots=True)
class Add:
    """Check a partial against its contributors' bound and add it to the result's segment. Answered by `Added`."""

    segment: int
    scratch: int
    peer: str
    contributors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """Turn the result's segment from an integer sum into new weights and server state, and take its digest."""

    segment: int
    last: bool
    """Every segment is finished: answer `ResultReady`."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """The result's segment is finished as it is: take its digest."""

    segment: int
    last: bool
    """As in `Finish`."""


@dataclass(frozen=True, slots=True)
class PostSend:
    """Send a segment to a peer; ends in `TransferEnded`."""

    peer: str
    tag: SegmentTag
    place: Place


@dataclass(frozen=True, slots=True)
class PostReceive:
    """Receive a segment from a peer; ends in `TransferEnded`. `timeout_s` 0 waits as long as the peer lives."""

    peer: str
    tag: SegmentTag
    place: Place
    timeout_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CancelTransfers:
    """End every transfer of a kind ("udf" for a reduce, "p" for pulls by this peer); nothing of theirs is reported any more."""

    kinds: str


@dataclass(frozen=True, slots=True)
class Stage:
    """Make the result durable before it is said to be held; answered by `Staged`."""

    round: int
    epoch: int
    model: str
    state: str


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Evaluate the result on share (index, count) of the held-out data; answered by `Evaluated`."""

    round: int
    epoch: int
    share: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Offer:
    """Send the segment digests of base or result to a puller."""

    peer: str
    pull: int
    buffer: str


@dataclass(frozen=True, slots=True)
class CheckPart:
    """Compare a pulled segment with its digest; answered by `PartChecked`."""

    part: Part
    digest: bytes
    peer: str


@dataclass(frozen=True, slots=True)
class Install:
    """The result becomes the base, committed as `round`. Sends that read the old base are ended first."""

    round: int
    model: str
    state: str
    how: str
    record: RoundRecord


@dataclass(frozen=True, slots=True)
class Pin:
    """Keep the checkpoint of the best round, and say which it is. Comes after the `Install` of that round, where there is one."""

    best: Best


@dataclass(frozen=True, slots=True)
class Prepare:
    """The base has the statistics of the whole swarm: give them to what trains, before it does anything else."""


@dataclass(frozen=True, slots=True)
class Say:
    """Send a small message."""

    peer: str
    message: Message


@dataclass(frozen=True, slots=True)
class Propose:
    """Compare and set ledger records; answered by the overlay's `WriteDone` under this name."""

    name: int
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Barrier:
    """A ledger barrier; answered by the overlay's `BarrierDone` under this name."""

    name: int


@dataclass(frozen=True, slots=True)
class Announce:
    """This peer may become a voter: it holds the current model."""

    eligible: bool


@dataclass(frozen=True, slots=True)
class Observe:
    """Tell whoever watches."""

    event: ObservedEvent


@dataclass(frozen=True, slots=True)
class Exit:
    """The machine is done: leave the swarm and end with this code."""

    code: int
    why: str


Action = (
    Build | StartTraining | StopTraining | BeginReduce | Fill | Add | Finish | Adopt | PostSend | PostReceive
    | CancelTransfers | Stage | Evaluate | Offer | CheckPart | Install | Pin | Prepare | Say | Propose | Barrier | Announce | Observe | Exit
)  # fmt: skip


# ---- the driver's inputs, beside the overlay's events


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


@dataclass(frozen=True, slots=True)
class Built:
    """The model is built; `layout` and the digests of its initial weights and of the empty server state."""

    layout: Layout
    model: str
    state: str
    segments: int
    state_segments: int
    vectors: int
    """Of the strategy's server state."""
    scratch: int
    """Segment buffers for partials."""
    round: int = 0
    """The committed round that a checkpoint brought; the run's first for the initial model."""
    held: Held | None = None
    """An uncommitted result that was staged in an earlier life."""
    sum_segments: int = 0
    """Of the statistics' sum, a further vector of the server state; 0: nothing is prepared."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The segments of each vector that a model is pulled with: of the model, then of the server state."""
        state = (self.state_segments,) * self.vectors
        return (self.segments, *state, self.sum_segments) if self.sum_segments else (self.segments, *state)


@dataclass(frozen=True, slots=True)
class Trained:
    """Training of a round ended; None when it failed (the reason is `why`)."""

    round: int
    ready: Ready | None
    why: str = ""
    residual: int = 0
    """The round whose update was to be added to this one's and was not, as this one is of no use: it is where it was."""


@dataclass(frozen=True, slots=True)
class ResultReady:
    """Every segment is finished; the digests of the new model and server state."""

    round: int
    epoch: int
    model: str
    state: str
    finite: bool


@dataclass(frozen=True, slots=True)
class Added:
    """A partial was added to the result's segment; or, with a `fault`, it was beyond what its contributors announced and was not."""

    round: int
    epoch: int
    segment: int
    scratch: int
    peer: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Staged:
    """The result of (round, epoch) is durable."""

    round: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The score of a result, None when there is no held-out data here."""

    score: Score | None
    round: int
    epoch: int


@dataclass(frozen=True, slots=True)
class PartChecked:
    """Whether a pulled segment has the digest it should have."""

    part: Part
    ok: bool
    peer: str


@dataclass(frozen=True, slots=True)
class TransferEnded:
    """A posted transfer ended; `error` as the overlay says it."""

    peer: str
    tag: SegmentTag
    place: Place
    sending: bool
    ok: bool
    error: str = ""

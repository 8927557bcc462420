"""A peer's state as others may see it: snapshots taken by the driver's thread, read by any other. What `/v1/...` returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from pyfl.events import Stamped
from pyfl.rounds.history import Committed

if TYPE_CHECKING:
    from pyfl.peer.held_model import HeldModel

__all__ = ["Guess", "Local", "PeerEntry", "PeerHandle", "Prediction", "Predictions", "Resources", "RoundEntry", "Status", "TrainedRound"]


class PeerEntry(msgspec.Struct, frozen=True):
    """One peer of the swarm. `have`: its newest model, -1 unknown; `phase`: training, reducing, holding, waiting, joining, suspected."""

    peer: str
    name: str
    address: str
    me: bool = False
    coordinator: bool = False
    voter: bool = False
    phase: str = ""
    have: int = -1
    samples: int = 0
    labels: dict[str, str] = {}
    http: str = ""
    """Where its HTTP API answers, `host:port`; empty: nowhere, or nowhere that can be reached from the peer that says so."""
    via: str = ""
    """The peer that passes its connections on, where the peer that says so cannot connect to it; empty: they are straight."""


class RoundEntry(Committed, frozen=True):
    """A committed round, as the history has it."""

    best: bool = False
    """The best of all committed rounds by the swarm's metric."""


class Status(msgspec.Struct, frozen=True):
    """Where this peer and, as far as it knows, the swarm stands."""

    peer: str
    name: str
    address: str
    version: str
    run: str = ""
    app: str = ""
    rounds: int = 0
    round: int = -1
    epoch: int = 0
    phase: str = ""
    have: int = -1
    digest: str = ""
    accuracy: float | None = None
    loss: float | None = None
    coordinator: str = ""
    voters: tuple[str, ...] = ()
    control: str = "running"
    waiting: str = ""
    """What this peer waits for, by name; empty while it is at work."""
    waiting_until_s: float | None = None
    """Seconds until a rule ends that wait; None: only a peer or an operator can."""
    waiting_then: str = ""
    """What happens then, if nothing comes before."""
    parameters: int = 0
    uptime_s: float = 0.0
    counters: dict[str, float] = {}
    http: str = ""
    """Where this peer's HTTP API answers, `host:port`; empty: only on its Unix socket."""
    doing: str = ""
    """What this peer does, in the words of `PeerEntry.phase`."""
    samples: int = 0
    """How many it trained on last; 0 before it has."""
    committed_at: float | None = None
    """When this peer saw the last commit, Unix time."""
    contributors: tuple[str, ...] = ()
    """Whose updates are in the last committed round."""
    best_round: int = 0
    """The best committed round by the swarm's metric; 0 before one was measured."""
    best_value: float | None = None
    best_measure: str = ""
    """What that value is: accuracy, held-out loss, or training loss where nothing is held out."""
    ended: str = ""
    """Why the run is over; empty while it goes on."""


class TrainedRound(msgspec.Struct, frozen=True):
    """What one training of this peer gave. A round that was begun again may be there twice."""

    round: int
    samples: int
    loss: float | None
    train_s: float
    finite: bool
    samples_per_s: float


class Resources(msgspec.Struct, frozen=True):
    """What this peer's process uses: memory now, the rest since it began."""

    rss_bytes: int
    cpu_s: float
    bytes_sent: int
    bytes_received: int


class Local(msgspec.Struct, frozen=True):
    """What only this peer knows."""

    peer: str
    name: str
    classes: dict[str, int]
    """How many samples of each class its training data has, in the classes' order; empty where that is not known."""
    trained: tuple[TrainedRound, ...]
    """Oldest first, those of earlier lives included as far as they are remembered."""
    resources: Resources


class Guess(msgspec.Struct, frozen=True):
    """One class that a model takes an input for: its name, its number, and the probability, 0 to 1."""

    name: str = msgspec.field(name="class")
    label: int = 0
    confidence: float = 0.0


class Prediction(Guess, frozen=True):
    """The best guess of one input, and the best few."""

    top: tuple[Guess, ...] = ()


class Predictions(msgspec.Struct, frozen=True):
    """What `POST /v1/predict` answers: one prediction an input, and the committed model that they are of."""

    predictions: tuple[Prediction, ...]
    round: int
    digest: str


class PeerHandle(Protocol):
    """What serves a peer's API needs of it. Any thread may call; nothing blocks but `events`."""

    def status(self) -> Status:
        """The present state."""
        ...

    def peers(self) -> list[PeerEntry]:
        """Every peer known, this one first."""
        ...

    def rounds(self) -> list[RoundEntry]:
        """The remembered committed rounds, oldest first."""
        ...

    def tree(self, segment: int) -> dict[str, object]:
        """{"segment", "root", "parent": {peer: peer}} of the present or last reduce; empty before the first."""
        ...

    def events(self, last: int, timeout_s: float) -> list[Stamped]:
        """The journal after event `last`; waits for the first."""
        ...

    def watch(self, ring: Callable[[], None]) -> Callable[[], None]:
        """Have `ring` called, briefly and in any thread, when there is a new event; returns what ends that."""
        ...

    def local(self) -> Local:
        """What only this peer knows."""
        ...

    def model(self) -> HeldModel:
        """The newest committed model, a copy of its own. Raises `NotCommittedYet`."""
        ...

    def control(self, command: str, argument: str = "") -> str:
        """pause, resume, leave, kick PEER, stop: asked for; returns a sentence about it. Raises `ControlError`."""
        ...

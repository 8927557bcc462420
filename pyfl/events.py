"""What a peer tells whoever watches: typed events, one struct a kind, written to `events.jsonl` and shown by every view."""

from __future__ import annotations

import msgspec

__all__ = [
    "CoordinatorChanged",
    "FaultSeen",
    "LinkAccused",
    "LinkRouted",
    "ModelInstalled",
    "ObservedEvent",
    "PeerJoined",
    "PeerLeft",
    "PeerRemoved",
    "PullStarted",
    "ReduceStarted",
    "ResourcesUsed",
    "ResultHeld",
    "RoundCommitted",
    "RoundOpened",
    "RunAdopted",
    "RunFinished",
    "Stamped",
    "TrainingEnded",
    "TrainingStarted",
    "Waiting",
]


class RunAdopted(msgspec.Struct, frozen=True, tag_field="event", tag="run_adopted"):
    """The run's record is known here; `founded`: this peer wrote it."""

    run: str
    app: str
    rounds: int
    parameters: int
    founded: bool


class PeerJoined(msgspec.Struct, frozen=True, tag_field="event", tag="peer_joined"):
    """Another peer was discovered."""

    peer: str
    name: str
    address: str


class PeerLeft(msgspec.Struct, frozen=True, tag_field="event", tag="peer_left"):
    """Another peer went: left, refused (died) or gossip (a hint)."""

    peer: str
    reason: str


class PeerRemoved(msgspec.Struct, frozen=True, tag_field="event", tag="peer_removed"):
    """The coordinator goes on without a peer in this round."""

    peer: str
    round: int
    why: str


class CoordinatorChanged(msgspec.Struct, frozen=True, tag_field="event", tag="coordinator_changed"):
    """The committee has another leader, or none."""

    coordinator: str
    me: bool


class RoundOpened(msgspec.Struct, frozen=True, tag_field="event", tag="round_opened"):
    """A round's training phase began, or was begun again at a higher epoch."""

    round: int
    epoch: int
    expected: tuple[str, ...]


class TrainingStarted(msgspec.Struct, frozen=True, tag_field="event", tag="training_started"):
    """This peer trains."""

    round: int
    epoch: int


class TrainingEnded(msgspec.Struct, frozen=True, tag_field="event", tag="training_ended"):
    """This peer has an update; not `finite`: it has NaN or infinity and is not sent."""

    round: int
    samples: int
    loss: float | None
    train_s: float
    finite: bool
    residual: int = 0
    """The round whose update, which was not counted in it, is part of this one; 0: none is."""


class ReduceStarted(msgspec.Struct, frozen=True, tag_field="event", tag="reduce_started"):
    """The contributors of a round are frozen and segments move."""

    round: int
    epoch: int
    contributors: tuple[str, ...]
    receivers: tuple[str, ...]


class LinkAccused(msgspec.Struct, frozen=True, tag_field="event", tag="link_accused"):
    """This peer could not exchange a segment with another."""

    round: int
    epoch: int
    peer: str
    why: str


class LinkRouted(msgspec.Struct, frozen=True, tag_field="event", tag="link_routed"):
    """This peer cannot connect to another, and reaches it by way of the peer `via`; empty: it connects again."""

    peer: str
    via: str


class ResultHeld(msgspec.Struct, frozen=True, tag_field="event", tag="result_held"):
    """This peer has every segment of the round's result."""

    round: int
    epoch: int
    digest: str


class RoundCommitted(msgspec.Struct, frozen=True, tag_field="event", tag="round_committed"):
    """The swarm agreed on a round's model. Times in seconds as the coordinator measured them."""

    round: int
    epoch: int
    contributors: tuple[str, ...]
    digest: str
    void: bool
    accuracy: float | None
    loss: float | None
    train_s: float
    reduce_s: float
    scored: bool = False
    """Accuracy and loss are over held-out data; otherwise the loss is the mean of training."""
    residuals: dict[str, int] = {}
    """Contributors whose update had an older one in it, which its own round had not counted: the round that it was of."""


class ModelInstalled(msgspec.Struct, frozen=True, tag_field="event", tag="model_installed"):
    """This peer holds a committed model; `how`: initial, checkpoint, reduced, pulled, void."""

    round: int
    digest: str
    how: str


class PullStarted(msgspec.Struct, frozen=True, tag_field="event", tag="pull_started"):
    """This peer fetches a model that others hold."""

    round: int
    holders: tuple[str, ...]


class Waiting(msgspec.Struct, frozen=True, tag_field="event", tag="waiting"):
    """Nothing moves, and this is what would let it move."""

    what: str
    until_s: float | None = None
    """Seconds from the event until a rule ends the wait; None: only a peer or an operator can."""
    then: str = ""
    """What happens then, if nothing comes before."""


class FaultSeen(msgspec.Struct, frozen=True, tag_field="event", tag="fault"):
    """Bad input was refused."""

    where: str
    error: str


class ResourcesUsed(msgspec.Struct, frozen=True, tag_field="event", tag="resources_used"):
    """What this peer had used when it installed a round's model. `rss_base_bytes`: before there was a model."""

    round: int
    bytes_sent: int
    rss_base_bytes: int
    rss_peak_bytes: int
    cpu_s: float
    congestion_control: str
    bytes_lent: int = 0
    """Of models, sent to peers that fetched them."""


class RunFinished(msgspec.Struct, frozen=True, tag_field="event", tag="run_finished"):
    """The last round is committed and everyone expected holds it."""

    round: int


ObservedEvent = (
    RunAdopted | PeerJoined | PeerLeft | PeerRemoved | CoordinatorChanged | RoundOpened | TrainingStarted | TrainingEnded
    | ReduceStarted | LinkAccused | LinkRouted | ResultHeld | RoundCommitted | ModelInstalled | PullStarted | Waiting | FaultSeen
    | ResourcesUsed | RunFinished
)  # fmt: skip


class Stamped(msgspec.Struct, frozen=True):
    """An event with its number at this peer, from 1, and when it was seen: Unix time and the monotonic clock, in seconds."""

    id: int
    time: float
    monotonic: float
    peer: str
    data: ObservedEvent

"""The ledger's records as the learning side reads and writes them. Everything a round's result depends on is in here."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyfl.aggregation import Strategy
from pyfl.aggregation.fixedpoint import ZERO
from pyfl.preparation.plan import Asked
from pyfl.rounds.early_stopping import EarlyStopping
from pyfl.tiers import Tiers
from pyfl.training.layout import Layout

__all__ = [
    "CONTROL",
    "NOTHING",
    "PREPARATION",
    "ROUND",
    "RUN",
    "ControlRecord",
    "Deadlines",
    "Member",
    "RoundRecord",
    "RunRecord",
    "pack_exponents",
]

RUN = "run"
ROUND = "round/swarm"
CONTROL = "control"
NOTHING = -2  # before the first round of any run
PREPARATION = 0
"""The round in which a run that asks for statistics adds them up; its model is model 0."""


class Deadlines(msgspec.Struct, frozen=True):
    """Bounds of every wait, in seconds. Between floor and ceiling a multiple of recent medians decides."""

    train_floor_s: float = 10.0
    train_ceiling_s: float = 3600.0
    reduce_floor_s: float = 30.0
    reduce_ceiling_s: float = 600.0
    progress_s: float = 10.0
    """A member from which nothing is heard for so long, or that stands still in a reduce or in fetching its model, is removed."""
    suspect_s: float = 4.0
    """The same, after membership has given it up as well."""
    commit_grace_s: float = 1.0
    """The least that is waited for the other holders once a majority holds."""
    finish_s: float = 60.0


class RunRecord(msgspec.Struct, frozen=True):
    """What the swarm trains. Written once, by the founder."""

    run: str
    app: str
    layout: Layout
    model: str
    """Digest of model 0."""
    state: str
    """Digest of the server state before round 1."""
    strategy: Strategy
    tiers: Tiers
    rounds: int
    min_peers: int = 2
    min_contributors: int = 0
    """0: a majority of those expected."""
    voters: int = 0
    seed: int = 0
    options: dict[str, str] = {}
    deadlines: Deadlines = Deadlines()
    format: int = 1
    early_stopping: EarlyStopping | None = None
    prepare: tuple[Asked, ...] = ()
    """Statistics of everyone's data that are added up in round 0; their sum is the last vector of the server state."""
    residuals: bool = False
    """An update that its round did not count is added to the peer's next one."""

    @property
    def first(self) -> int:
        """The round that brings model 0 to everyone: 0, or before a preparation, which is round 0 itself, -1."""
        return PREPARATION - 1 if self.prepare else 0

    def training_s(self, record: RoundRecord) -> float:
        """How long a round's training may take: the ceiling, as long as the coordinator knows no better."""
        return record.train_deadline_s or self.deadlines.train_ceiling_s


def pack_exponents(exponents: tuple[int, ...]) -> bytes:
    """Announced exponents as one int8 a tensor; -128 is a tensor of zeros."""
    return bytes((-128 if e == ZERO else max(-127, min(127, e))) & 0xFF for e in exponents)


class Member(msgspec.Struct, frozen=True):
    """A peer in a round's reduce: a contributor with its samples and exponents, or with 0 samples a receiver."""

    peer: str
    slot: int
    samples: int = 0
    exponents: bytes = b""
    site: str = ""
    residual: int = 0
    """The round whose update, which was not counted in it, is part of this contribution; 0: none is."""

    def announced(self) -> tuple[int, ...]:
        """The exponents it announced, one a tensor."""
        values: NDArray[np.int8] = np.frombuffer(self.exponents, dtype=np.int8)
        return tuple(ZERO if e == -128 else int(e) for e in values)


class RoundRecord(msgspec.Struct, frozen=True):
    """One round in one phase. (number, epoch) only rises; a commit keeps the epoch of the reduce it belongs to."""

    number: int
    epoch: int
    phase: Literal["train", "reduce", "committed"]
    attempt: int = 1
    base_model: str = ""
    base_state: str = ""
    """Digests of the round before: what members start from."""
    expected: tuple[str, ...] = ()
    min_contributors: int = 1
    train_deadline_s: float = 0.0
    members: tuple[Member, ...] = ()
    slots: int = 0
    avoid: tuple[tuple[int, int], ...] = ()
    total_samples: int = 0
    """The denominator of every p_i, from the attempt's first reduce record."""
    caps: tuple[int, ...] = ()
    exponents: tuple[int, ...] = ()
    ratio_bits: int = 0
    kept: tuple[tuple[int, bytes], ...] = ()
    """(slot, bitmap of segments): what members have finished of the epoch before, which had the same contributors."""
    holders: tuple[str, ...] = ()
    """Peers that hold the result: whoever is expected and lacks it pulls from them."""
    model: str = ""
    state: str = ""
    contributors: tuple[str, ...] = ()
    void: bool = False
    voids: int = 0
    """Void rounds in a row up to this one."""
    accuracy: float | None = None
    loss: float | None = None
    train_s: float = 0.0
    reduce_s: float = 0.0
    scored: bool = False
    """Accuracy and loss are over held-out data; otherwise the loss is the mean of training."""

    def member(self, peer: str) -> Member | None:
        """A peer's entry, if it is a member."""
        return next((m for m in self.members if m.peer == peer), None)

    @property
    def committed(self) -> tuple[int, str, str]:
        """(number, model, state) of the newest round that is committed by this record."""
        if self.phase == "committed":
            return self.number, self.model, self.state
        return self.number - 1, self.base_model, self.base_state

    @property
    def residuals(self) -> dict[str, int]:
        """The contributors that bring an old update as well, and the round that it is of."""
        return {m.peer: m.residual for m in self.members if m.samples and m.residual}


class ControlRecord(msgspec.Struct, frozen=True):
    """What operators asked for, and the run's end."""

    state: Literal["running", "paused", "stopping", "finished"] = "running"
    kicked: tuple[str, ...] = ()
    by: str = ""
    why: str = ""
    stopped: bool = False
    """The run is over because an operator said so: peers that would stay after its end leave as well."""

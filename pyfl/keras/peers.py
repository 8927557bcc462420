"""What the Keras adapters need of a peer: `pyfl.Peer` is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pyfl.aggregation import Strategy
from pyfl.rounds.early_stopping import Best, EarlyStopping
from pyfl.tiers import Tiers
from pyfl.training.layout import Layout
from pyfl.training.trainer import FlatTrainer

__all__ = ["OnRound", "ResultLike", "RoundLike", "RunLike", "RunningPeer"]

Flat = NDArray[np.float32]


class RoundLike(Protocol):
    """A committed round; see `pyfl.peer.run_result.CommittedRound`."""

    @property
    def number(self) -> int:
        """From 1."""
        ...

    @property
    def digest(self) -> str:
        """Of the committed model."""
        ...

    @property
    def contributors(self) -> tuple[str, ...]:
        """Ids of those whose updates are in it."""
        ...

    @property
    def accuracy(self) -> float | None:
        """The swarm's."""
        ...

    @property
    def loss(self) -> float | None:
        """The swarm's."""
        ...


OnRound = Callable[[RoundLike, Flat], bool | None]


class KeptLike(Protocol):
    """The weights of a committed round."""

    @property
    def round(self) -> int:
        """Which."""
        ...

    @property
    def flat(self) -> Flat:
        """float32[P]."""
        ...


class ResultLike(Protocol):
    """A finished run."""

    @property
    def layout(self) -> Layout:
        """The model's tensors."""
        ...

    @property
    def flat(self) -> Flat:
        """The last committed model."""
        ...

    @property
    def best(self) -> Best | None:
        """The swarm's best round."""
        ...

    @property
    def kept(self) -> KeptLike | None:
        """The best round that this peer saw."""
        ...


class RunLike(Protocol):
    """One run; see `pyfl.peer.peer_run.PeerRun`."""

    def work(self) -> None:
        """Train in this thread until the run has ended."""
        ...

    def leave(self, why: str) -> None:
        """Leave the swarm."""
        ...

    def result(self) -> ResultLike:
        """The result, or the error that ended it."""
        ...


class RunningPeer(Protocol):
    """A peer."""

    @property
    def entered(self) -> bool:
        """Whether it is in its block."""
        ...

    def __enter__(self) -> object:
        """Open the overlay and join."""
        ...

    def close(self) -> None:
        """Leave the swarm."""
        ...

    @property
    def founds(self) -> bool:
        """Whether its settings become the run's; a joiner adopts what it does not give."""
        ...

    def begin(
        self,
        trainer: FlatTrainer,
        *,
        rounds: int | None = None,
        strategy: Strategy | str | None = None,
        tiers: Tiers | str | None = None,
        min_peers: int | None = None,
        min_contributors: int | None = None,
        seed: int | None = None,
        early_stopping: EarlyStopping | str | None = None,
        residuals: bool | None = None,
        on_round: OnRound | None = None,
        on_end: Callable[[], None] | None = None,
        keep_best: bool = False,
    ) -> RunLike:
        """Take part in the run."""
        ...

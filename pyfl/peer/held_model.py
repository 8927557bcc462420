"""The committed model that a peer holds, copied out of the memory that its rounds work in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyfl.checkpoints import Saved
from pyfl.errors import NotCommittedYet
from pyfl.wire import digests

if TYPE_CHECKING:
    from pyfl.apps import App
    from pyfl.rounds.driver import Driver
    from pyfl.rounds.records import RunRecord
    from pyfl.training.layout import Layout

__all__ = ["HeldModel", "copy_held"]

TRIES = 8  # each fails only if a commit falls into it, and a copy takes far less than a round


@dataclass(frozen=True, slots=True, eq=False)
class HeldModel:
    """`weights` float32[P] have the digest `saved.model`: it was taken from this very copy."""

    saved: Saved
    layout: Layout
    weights: NDArray[np.float32]
    app: Callable[[], App]
    """Makes the app that the weights belong to, with this peer's own options. Raises `AppError` if the run has none."""


def copy_held(driver: Driver, app: Callable[[RunRecord], App]) -> HeldModel:
    """Copy the newest committed model; any thread may call. Raises `NotCommittedYet` before round 1 is committed.

    The loop is not asked and goes on meanwhile: what it changes during the copy shows in the digest, and is copied again.
    """
    for _ in range(TRIES):
        memory, held, run = driver.buffers, driver.machine.member.have, driver.machine.view.run
        if memory is None or run is None or held.round < 1:
            break
        weights = np.copy(memory.base)
        if digests.combine(digests.of_vector(weights)) == held.model:
            saved = Saved(
                run.run, run.layout.digest, held.round, 0, held.model, held.state, app=run.app, options=run.options,
                statistics=driver.statistics,
            )  # fmt: skip
            return HeldModel(saved, run.layout, weights, partial(app, run))
    raise NotCommittedYet(
        "No round has been committed yet, so there is no model to ask: what this peer holds is at most the model that the run began "
        "with. Ask again after the first round; /v1/status says what the swarm waits for."
    )

"""I3 with old updates: one that its round did not count may be in a later contribution of its peer, and is counted once in all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyfl import events
from pyfl.rounds.records import RoundRecord
from pyfl.simulation.scenario import Scenario
from pyfl.simulation.swarm import SimulatedPeer, SimulatedSwarm
from pyfl.training.trainer import RoundInfo

__all__ = ["check_residuals", "trained"]

Flat = NDArray[np.float32]


def trained(swarm: SimulatedSwarm, scenario: Scenario, peer: str, number: int, base: Flat) -> tuple[Flat, int]:
    """What a peer's training of a round gives, and of how many samples. A probe's does not depend on the attempt."""
    out = base.copy()
    info = RoundInfo(number, scenario.rounds, 0, scenario.seed)
    outcome = scenario.trainer(swarm.index_of(peer)).train(base, out, info, lambda: False)
    return out - base, outcome.samples


def check_residuals(swarm: SimulatedSwarm, scenario: Scenario, rounds: dict[int, RoundRecord], lives: list[SimulatedPeer]) -> None:
    """I3: an old update was trained in the same life, was finite, and is counted once in all; its own round is committed without it."""
    honest = {life.overlay.me for life in lives}
    counted: set[tuple[str, int]] = {(peer, number) for number, record in rounds.items() for peer in record.contributors}
    for number, record in rounds.items():
        for peer, old in record.residuals.items() if not record.void else ():
            if peer not in honest:
                continue
            name = f"{peer}'s update of round {old} in round {number}"
            assert scenario.residuals, f"I3: {name}, in a run without residuals"
            assert 0 < old < number, f"I3: {name}"
            assert not rounds[old].void, f"I3: {name}, which was void: everyone trained again"
            assert (peer, old) not in counted, f"I3: {name} is counted a second time"
            counted.add((peer, old))
            assert old not in scenario.bad_rounds[swarm.index_of(peer)], f"I3: {name} is not finite"
            assert any({old, number} <= _trained_in(life) for life in lives if life.overlay.me == peer), (
                f"I3: {name} was trained in another life of the peer"
            )


def _trained_in(life: SimulatedPeer) -> set[int]:
    return {event.round for _, event in life.seen if isinstance(event, events.TrainingEnded)}

"""Events of small swarms, as a watcher gets them."""

from __future__ import annotations

from pyfl import events
from pyfl.cli.swarm_model import SwarmModel
from pyfl.events import ObservedEvent, Stamped

NAMES = ("otter", "heron", "lynx")
IDS = ("a" * 32, "b" * 32, "c" * 32)


def tell(model: SwarmModel, index: int, event: ObservedEvent, at: float = 1.0) -> events.RoundCommitted | None:
    return model.apply(index, Stamped(1, at, at, IDS[index], event))


def commit(number: int, digest: str, accuracy: float | None = 0.5, *, void: bool = False) -> events.RoundCommitted:
    return events.RoundCommitted(number, 1, () if void else IDS, digest, void, accuracy, 0.25, 0.5, 0.125)


def learned(rounds: int, of: int | None = None) -> SwarmModel:
    """A swarm of three that committed round 0 and `rounds` more, everyone holding the same models."""
    model = SwarmModel(NAMES, of or rounds, began=10.0)
    for number in range(rounds + 1):
        digest = f"{number + 1:064x}"
        for index in range(3):
            tell(model, index, commit(number, digest, None if number == 0 else number / 10), at=11.0 + number)
            tell(model, index, events.ModelInstalled(number, digest, "reduced"), at=11.5 + number)
    return model

"""What goes wrong, when and to whom, drawn from a seed. Pure."""

from __future__ import annotations

import difflib
import random
from collections.abc import Sequence

import msgspec

from pyfl.errors import ChaosError

__all__ = ["KINDS", "NETWORK_KINDS", "PHASES", "SHAPES", "TAKES_LIFE", "Planned", "draw", "kinds_of"]

KINDS = ("kill", "stop", "partition", "link", "slow", "disk", "wipe", "power")
NETWORK_KINDS = frozenset({"partition", "link", "slow"})
TAKES_LIFE = frozenset({"kill", "wipe", "power"})
PHASES = ("train", "reduce", "hold", "between")
"""Of a round, in their order; `between` is after the commit."""
SHAPES: dict[str, tuple[str, ...]] = {
    "partition": ("one", "half", "third", "one-way"),
    "link": ("both", "one-way"),
    "wipe": ("same identity", "new identity"),
}


class Planned(msgspec.Struct, frozen=True):
    """One fault. Numbers from 0 to 1 are shares: of the phase, of those who may be hit, of the longest time that a fault lasts."""

    round: int
    kind: str
    phase: str
    coordinator: bool
    """Aimed at whoever coordinates then."""
    shape: str
    at: float
    pick: float
    lasts: float


def kinds_of(text: str) -> tuple[str, ...]:
    """The faults in `kill,stop` or `all`. Raises `ChaosError` for one that there is not."""
    names = KINDS if text.strip() == "all" else tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in KINDS:
            near = difflib.get_close_matches(name, KINDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ChaosError(f"--faults: there is no fault {name!r}; expected some of {', '.join(KINDS)}, or all.{hint}")
    if not names:
        raise ChaosError(f"--faults: none was named; expected some of {', '.join(KINDS)}, or all.")
    return names


def draw(kinds: Sequence[str], rounds: int, per_round: float, coordinator_share: float, seed: int, split: str = "") -> list[Planned]:
    """The same plan for the same arguments: `per_round` faults a round (0.5: one every other round), of every kind about as often.

    `split`: the shape of every partition, as `3:3`; empty: drawn.
    """
    shapes = {**SHAPES, "partition": (split,)} if split else SHAPES
    rng = random.Random(seed)  # noqa: S311 - a plan to be repeated, not a secret
    deck: list[str] = []
    plan: list[Planned] = []
    owed = 0.0
    for number in range(1, rounds + 1):
        owed += per_round
        here: list[Planned] = []
        while owed >= 1:
            owed -= 1
            if not deck:
                deck = list(kinds)
                rng.shuffle(deck)
            kind = deck.pop()
            phase = rng.choice(PHASES if number < rounds else PHASES[:-1])
            aimed = rng.random() < coordinator_share and kind != "power"
            shape = rng.choice(shapes.get(kind, ("",)))
            here.append(Planned(number, kind, phase, aimed, shape, rng.random(), rng.random(), rng.random()))
        plan += sorted(here, key=lambda planned: (PHASES.index(planned.phase), planned.at))
    return plan

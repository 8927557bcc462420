"""Faults as data: drawn from a seed, printed as text and read back."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .steps import ANYONE, STEPS
from .strikes import IT, LEADER, Striker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .network import SimulatedNetwork
    from .peer import SimulatedOverlay

__all__ = ["FAULT_KINDS", "NETWORK_FAULTS", "PROGRAM_FAULTS", "Fault", "FaultPlan", "Trigger"]

NETWORK_FAULTS = (
    "kill", "restart", "wipe", "power", "stop", "leave", "cut", "reset", "slow", "partition", "oneway", "drop", "duplicate",
    "reorder", "depose",
)  # fmt: skip
"""What befalls processes and links. `kill` is for good, `restart` starts again with the disk, `wipe` without; `power` takes all."""
PROGRAM_FAULTS = ("clock", "disk", "hang", "grind", "freeze")
"""What befalls a peer's program: its clock jumps, its disk is full, its trainer does not answer or never ends by itself, it
takes in no event."""
FAULT_KINDS = NETWORK_FAULTS + PROGRAM_FAULTS

_WITH_AMOUNT = ("slow", "drop", "duplicate", "reorder", "clock")
_SPLIT = ("partition", "oneway")
_AT_A_STEP = ("kill", "restart", "wipe", "stop", "depose", "reset", "freeze")
_MOST_STEPS = {"event": 400, "message": 80, "transfer": 60, "write": 14, "stage": 6}


@dataclass(frozen=True, slots=True)
class Trigger:
    """A step that sets a fault off: `before message 17 of peer-2`. `peer` is a name or `anyone`."""

    moment: str
    step: str
    count: int
    peer: str

    def __str__(self) -> str:
        return f"{self.moment} {self.step} {self.count} of {self.peer}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `at 1.250 restart peer-2 after 3.000`, or `before message 17 of peer-2 restart it after 3.000`.

    kind: one of `FAULT_KINDS`. peers: names; `leader` stands for whoever leads then, `it` for whose step it was. after_s: until it
    is taken back (restarted, resumed, healed); 0 for never. groups: of a partition; one way, nothing passes from the first to the
    second. amount: a probability (drop, duplicate, reorder), seconds that each packet takes longer (slow) or that a clock jumps.
    """

    at_s: float
    kind: str
    peers: tuple[str, ...] = ()
    after_s: float = 0.0
    groups: tuple[tuple[str, ...], ...] = ()
    amount: float = 0.0
    trigger: Trigger | None = None

    def __str__(self) -> str:
        words = [f"at {self.at_s:.3f}" if self.trigger is None else str(self.trigger), self.kind, *self.peers]
        if self.groups:
            words.append(" | ".join(" ".join(group) for group in self.groups))
        if self.kind in _WITH_AMOUNT:
            words.append(f"{self.amount:.3f}")
        if self.after_s:
            words.append(f"after {self.after_s:.3f}")
        return " ".join(words)

    @classmethod
    def parse(cls, line: str) -> Fault:
        """Read what `str` wrote. Raises ValueError with the line."""
        try:
            return cls._parse(line.split())
        except (ValueError, IndexError) as error:
            raise ValueError(
                f"{line!r} is no fault: {error}; expected 'at SECONDS KIND ...' or 'before|after STEP COUNT of PEER KIND ...' with "
                f"a kind of {', '.join(FAULT_KINDS)} and a step of {', '.join(STEPS)}"
            ) from error

    @classmethod
    def _parse(cls, words: list[str]) -> Fault:
        at_s, trigger = 0.0, None
        if words[0] in ("before", "after") and words[3] == "of":
            moment, step, count, _, peer, *words = words
            trigger = Trigger(moment, step, int(count), peer)
            if step not in STEPS or trigger.count < 1:
                raise ValueError(f"{trigger} never comes")
        elif words[0] == "at":
            at_s, words = float(words[1]), words[2:]
        else:
            raise ValueError(f"{words[0]!r} is neither a time nor a step")
        kind, rest, after_s, amount = words[0], words[1:], 0.0, 0.0
        if kind not in FAULT_KINDS:
            raise ValueError(f"{kind!r} is no kind")
        if len(rest) >= 2 and rest[-2] == "after":
            after_s, rest = float(rest[-1]), rest[:-2]
        if kind in _WITH_AMOUNT:
            amount, rest = float(rest[-1]), rest[:-1]
        if kind in _SPLIT:
            groups = tuple(tuple(group.split()) for group in " ".join(rest).split("|"))
            return cls(at_s, kind, (), after_s, groups, trigger=trigger)
        return cls(at_s, kind, tuple(rest), after_s, (), amount, trigger)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Faults with their times and steps. `str(plan)` is one line each; `parse` reads them back.

    keep_majority: skip what would leave the committee, or the peers that were ever added, without a running majority
    (I2 promises nothing then), or would wipe most of the committee's disks; what is skipped is told in `network.fault_log`.
    """

    faults: tuple[Fault, ...]
    keep_majority: bool = True

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)

    @classmethod
    def parse(cls, text: str, *, keep_majority: bool = True) -> FaultPlan:
        """Read faults, one a line; empty lines and those that start with # are skipped. Raises ValueError."""
        lines = [line.strip() for line in text.splitlines()]
        return cls(tuple(Fault.parse(line) for line in lines if line and line[0] != "#"), keep_majority)

    @classmethod
    def random(
        cls,
        seed: int,
        peers: Sequence[str | SimulatedOverlay],
        horizon_s: float,
        kinds: Sequence[str] = NETWORK_FAULTS,
        *,
        count: int | None = None,
    ) -> FaultPlan:
        """Draw faults within `horizon_s` seconds: by default one to six of them.

        All is taken back but kills and leaves, which together take less than half of the peers.
        """
        unknown = set(kinds) - set(FAULT_KINDS)
        if unknown:
            raise ValueError(f"unknown kinds of fault {sorted(unknown)}; there are {', '.join(FAULT_KINDS)}")
        rng = random.Random(seed)  # noqa: S311 - a simulation must be repeatable
        names = [peer if isinstance(peer, str) else peer.name for peer in peers]
        spare = (len(names) - 1) // 2
        faults: list[Fault] = []
        for _ in range(rng.randint(1, 6) if count is None else count):
            fault = _draw(rng, names, horizon_s, rng.choice(list(kinds)))
            if fault.kind in ("kill", "leave"):
                if spare == 0:
                    continue
                spare -= 1
            if len(fault.peers) != 2 or len(names) > 1:
                faults.append(fault)
        return cls(tuple(sorted(faults, key=lambda fault: fault.at_s)))

    def apply(self, network: SimulatedNetwork) -> None:
        """Arm every fault; times and steps count from now."""
        striker = Striker(network, keep_majority=self.keep_majority)
        for fault in self.faults:
            striker.arm(fault)


def _draw(rng: random.Random, names: list[str], horizon_s: float, kind: str) -> Fault:
    at_s = round(rng.uniform(0.0, horizon_s), 3)
    # Short ones are often not noticed at all, which is a story of its own.
    after_s = round(rng.choice((rng.uniform(0.01, 0.5), rng.uniform(0.5, 5.0), rng.uniform(5.0, 20.0))), 3)
    target, trigger = LEADER if rng.random() < 0.3 else rng.choice(names), None
    if kind in _AT_A_STEP and rng.random() < 0.4:
        step = rng.choice(STEPS)
        whose = ANYONE if step == "write" or rng.random() < 0.2 else rng.choice(names)
        count = rng.randint(1, max(1, int(_MOST_STEPS[step] * horizon_s / 25)))
        at_s, target, trigger = 0.0, IT, Trigger(rng.choice(("before", "after")), step, count, whose)
    two = tuple(rng.sample(names, 2)) if len(names) > 1 else (names[0], names[0])
    match kind:
        case "kill" | "leave":
            return Fault(at_s, kind, (target,), trigger=trigger)
        case "restart" | "wipe" | "stop" | "disk" | "hang" | "grind" | "freeze":
            return Fault(at_s, kind, (target,), after_s, trigger=trigger)
        case "cut" | "slow" | "reset":
            pair = (LEADER, two[1]) if rng.random() < 0.2 else two
            if trigger is not None:
                pair = (IT, two[1])
            lasts_s = 0.0 if kind == "reset" else after_s
            return Fault(at_s, kind, pair, lasts_s, amount=round(rng.uniform(0.05, 2.0), 3) if kind == "slow" else 0.0, trigger=trigger)
        case "partition" | "oneway":
            shuffled = rng.sample(names, len(names))
            place = rng.randint(1, max(1, len(names) - 1))
            return Fault(at_s, kind, (), after_s, (tuple(shuffled[:place]), tuple(shuffled[place:])))
        case "drop" | "duplicate" | "reorder":
            return Fault(at_s, kind, (), after_s, (), round(rng.uniform(0.02, 0.5), 3))
        case "clock":
            return Fault(at_s, kind, (target,), amount=round(rng.choice((rng.uniform(0.1, 5.0), rng.uniform(5.0, 120.0))), 3))
        case _:  # depose, power
            return Fault(at_s, kind, (), after_s if kind == "power" else 0.0, trigger=trigger)

"""One seed or scenario played and judged: what it broke, if anything, and what it took."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyfl.simulation.invariants import check
from pyfl.simulation.ledger_log import committed
from pyfl.simulation.playing import start
from pyfl.simulation.probe import SEGMENT_BYTES
from pyfl.simulation.scenario import Scenario
from pyfl.wire import segments

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`violation`: empty, or what is wrong, beginning with the invariant or the error's name."""

    seed: int
    violation: str = ""
    rounds: int = 0
    finished: bool = False
    virtual_s: float = 0.0
    events: int = 0
    struck: dict[str, int] = field(default_factory=dict[str, int])
    """Faults that struck, by kind; those that were skipped are not in it."""

    @property
    def rule(self) -> str:
        """What was broken, without the particulars: two runs that break the same rule tell the same story."""
        return self.violation.partition(":")[0]


def judge(scenario: Scenario) -> Verdict:
    """Play and check. Whatever is raised is a violation: the product must not fail either."""
    violation, started = "", None
    with segments.smallest(SEGMENT_BYTES):
        try:
            started = start(scenario).run()
            check(started)
        except AssertionError as error:
            violation = str(error) or "an assertion without words"
        except Exception as error:  # noqa: BLE001 - the finding of this tool
            violation = f"{type(error).__name__}: {error}"
        rounds = len(committed(started.swarm)) if started and not violation else 0
    if started is None:
        return Verdict(scenario.seed, violation)
    network = started.swarm.network
    return Verdict(scenario.seed, violation, rounds, started.finished, network.now, started.events, dict(network.struck))

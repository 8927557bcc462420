"""A failing scenario made as small as it can be while it still breaks the same rule (delta debugging).

Andreas Zeller and Ralf Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from pyfl.aggregation import fedavg
from pyfl.overlay.simulated.faults import Fault, FaultPlan
from pyfl.simulation.probe import STRIDE
from pyfl.simulation.scenario import Scenario
from pyfl.simulation.verdict import Verdict, judge
from pyfl.tiers import star

__all__ = ["shrink"]

OTHER_SEEDS = 4  # a smaller story draws other delays: it is tried with a few before it is given up


def shrink(
    scenario: Scenario, rule: str, *, seconds: float = 60.0, judged: Callable[[Scenario], Verdict] = judge
) -> tuple[Scenario, Verdict | None]:
    """(the smallest scenario found within `seconds` that breaks `rule`, its verdict); None if nothing smaller does."""
    until, best = time.monotonic() + seconds, None
    smaller = True
    while smaller and time.monotonic() < until:
        smaller = False
        for candidate in _candidates(scenario):
            found = _breaks(candidate, rule, judged)
            if found is not None:
                (scenario, best), smaller = found, True
                break
            if time.monotonic() >= until:
                break
    return scenario, best


def _breaks(scenario: Scenario, rule: str, judged: Callable[[Scenario], Verdict]) -> tuple[Scenario, Verdict] | None:
    for seed in (scenario.seed, *range(1, 1 + OTHER_SEEDS)):
        tried = replace(scenario, seed=seed)
        verdict = judged(tried)
        if verdict.violation and verdict.rule == rule:
            return tried, verdict
    return None


def _candidates(scenario: Scenario) -> Iterator[Scenario]:
    """Smaller ones, the much smaller first."""
    faults = scenario.faults.faults
    width = (len(faults) + 1) // 2
    while width >= 1 and faults:
        for start in range(0, len(faults), width):
            yield _with_faults(scenario, faults[:start] + faults[start + width :])
        width //= 2
    yield from _calmer(scenario)
    yield from _fewer(scenario)
    for place, fault in enumerate(faults):
        for simpler in _simpler(fault):
            yield _with_faults(scenario, (*faults[:place], simpler, *faults[place + 1 :]))


def _with_faults(scenario: Scenario, faults: tuple[Fault, ...]) -> Scenario:
    return replace(scenario, faults=FaultPlan(faults, scenario.faults.keep_majority))


def _calmer(scenario: Scenario) -> Iterator[Scenario]:
    """Without one of the things that are unusual."""
    nothing: frozenset[int] = frozenset()
    if scenario.loss:
        yield replace(scenario, loss=0.0)
    for place in range(len(scenario.wishes)):
        yield replace(scenario, wishes=scenario.wishes[:place] + scenario.wishes[place + 1 :])
    if scenario.residuals:
        yield replace(scenario, residuals=False)
    if scenario.straggler >= 0:
        yield replace(scenario, straggler=-1)
    if any(scenario.bad_rounds):
        yield replace(scenario, bad_rounds=(nothing,) * scenario.peers)
    if scenario.min_contributors:
        yield replace(scenario, min_contributors=0)
    if any(samples != 1 for samples in scenario.samples):
        yield replace(scenario, samples=(1,) * scenario.peers)
    if scenario.strategy.name != "fedavg":
        yield replace(scenario, strategy=fedavg())
    if scenario.tiers != star():
        yield replace(scenario, tiers=star())


def _fewer(scenario: Scenario) -> Iterator[Scenario]:
    """Fewer peers, rounds and segments."""
    last = f"peer-{scenario.peers - len(scenario.late) - 1}"
    if scenario.late:
        yield _without_last(scenario, late=scenario.late[:-1])
    elif scenario.peers > 1 and last not in str(scenario.faults):
        yield _without_last(scenario)
    for rounds in dict.fromkeys((1, scenario.rounds // 2, scenario.rounds - 1)):
        if 1 <= rounds < scenario.rounds:
            yield replace(scenario, rounds=rounds)
    for values in dict.fromkeys((STRIDE, scenario.values - STRIDE)):
        if STRIDE <= values < scenario.values:
            yield replace(scenario, values=values)


def _without_last(scenario: Scenario, late: tuple[float, ...] = ()) -> Scenario:
    peers = scenario.peers - 1
    return replace(
        scenario, peers=peers, late=late, samples=scenario.samples[:peers], bad_rounds=scenario.bad_rounds[:peers],
        straggler=scenario.straggler if scenario.straggler < peers else -1, min_contributors=min(scenario.min_contributors, peers),
        wishes=tuple(wish for wish in scenario.wishes if wish[1] != f"kick {peers}"),
    )  # fmt: skip


def _simpler(fault: Fault) -> Iterator[Fault]:
    """The same with rounder times."""
    for digits in (0, 1):
        rounder = replace(
            fault, at_s=round(fault.at_s, digits), amount=round(fault.amount, digits) or fault.amount,
            after_s=round(fault.after_s, digits) or fault.after_s,
        )  # fmt: skip
        if rounder != fault:
            yield rounder

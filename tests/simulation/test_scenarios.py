"""Stories that once broke something, or tell how something holds, played again; and the way from a failing seed to such a story."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pyfl.errors import ConfigError
from pyfl.overlay.simulated.faults import FAULT_KINDS, Fault, FaultPlan
from pyfl.simulation.drawing import SIZES, draw
from pyfl.simulation.scenario import Scenario
from pyfl.simulation.shrink import shrink
from pyfl.simulation.verdict import judge
from tests.simulation.mutations import MUTATIONS, mutated

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_keeps_every_promise(path: Path) -> None:
    verdict = judge(Scenario.parse(path.read_text()))
    assert not verdict.violation
    assert verdict.finished


@pytest.mark.parametrize("size", SIZES)
def test_a_scenario_is_its_text(size: str) -> None:
    kinds: set[str] = set()
    for seed in range(200):
        scenario = draw(seed, SIZES[size])
        again = Scenario.parse(str(scenario))
        assert str(again) == str(scenario)
        assert again.faults.faults == tuple(Fault.parse(line) for line in str(scenario.faults).splitlines())
        kinds |= {fault.kind for fault in scenario.faults.faults}
    assert kinds == set(FAULT_KINDS), "every kind is drawn"


def test_a_text_plays_as_what_it_was_printed_from() -> None:
    for seed in range(10):
        one, two = judge(draw(seed)), judge(Scenario.parse(str(draw(seed))))
        assert (one.virtual_s, one.events, one.rounds, one.struck) == (two.virtual_s, two.events, two.rounds, two.struck)


@pytest.mark.parametrize(
    "line",
    [
        "peers 0", "peers three", "at x kill peer-0", "at 1.0 explode peer-0", "before tea 3 of peer-1 kill it", "straggler 3",
        "at 1.0 kill peer-9", "not_finite peer-7 1", "loss 1.5", "colour green", "before write 0 of anyone kill it", "tiers round",
    ],
)  # fmt: skip
def test_what_cannot_be_played_is_refused_with_its_reason(line: str) -> None:
    word = line.split()[0]
    text = "\n".join(one for one in str(draw(3)).splitlines() if one.split()[0] != word)
    with pytest.raises(ConfigError, match="scenario"):
        Scenario.parse(f"{text}\n{line}\n")


def test_a_failing_seed_is_shrunk_to_a_story_that_breaks_the_same_rule() -> None:
    mutation = next(m for m in MUTATIONS if m.name.startswith("contribution"))
    with mutated(mutation):
        seed, verdict = next((s, v) for s in range(40) if (v := judge(draw(s))).violation)
        small, last = shrink(draw(seed), verdict.rule, seconds=20)
        assert last is not None
        again = judge(Scenario.parse(str(small)))
    assert again.violation == last.violation
    assert len(small.faults.faults) <= 2
    assert len(str(small)) < len(str(draw(seed)))
    assert not judge(small).violation, "the story blames the mutation alone"


def test_nothing_is_shrunk_when_nothing_smaller_fails() -> None:
    scenario = Scenario.parse("seed 1\npeers 1\nrounds 1\nvalues 16\nstrategy fedavg\ntiers star")
    assert shrink(scenario, "I1", seconds=5) == (scenario, None)


def test_faults_at_a_step_strike_there() -> None:
    plan = FaultPlan.parse("before write 3 of anyone restart it after 1.0\nafter stage 1 of anyone restart it after 1.0")
    verdict = judge(replace(draw(0, kinds=()), faults=plan))
    assert not verdict.violation
    assert verdict.struck == {"restart": 2}

"""The simulation finds what it is for: each promise broken on purpose is found within a number of seeds. `-s` says after how many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pyfl.simulation.drawing import draw
from pyfl.simulation.scenario import Scenario
from pyfl.simulation.verdict import judge
from tests.simulation.mutations import MUTATIONS, Mutation, mutated


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_a_broken_promise_is_found(mutation: Mutation) -> None:
    path = Path(__file__).parent / "scenarios" / f"{mutation.scenario}.txt"
    told = Scenario.parse(path.read_text()) if mutation.scenario else None
    with mutated(mutation):
        for seed in range(mutation.seeds):
            verdict = judge(replace(told, seed=seed) if told else draw(seed))
            if verdict.violation:
                print(f"\n{mutation.name}: seed {seed}, {verdict.violation[:100]}")
                assert verdict.rule in mutation.rules, verdict.violation
                return
    pytest.fail(f"{mutation.seeds} seeds did not find it")

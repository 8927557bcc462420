"""Swarms under random faults keep I1 to I6, whatever the seed. A seed that fails says how to play it again and shrink it."""

from __future__ import annotations

import pytest

from pyfl.simulation.drawing import SIZES, draw
from pyfl.simulation.verdict import judge

BLOCK = 20
BLOCKS = {"standard": 25, "wide": 40}
SOAK_BLOCKS = {"standard": 10_000 // BLOCK, "wide": 20_000 // BLOCK}


def keeps_its_promises(name: str, block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        verdict = judge(draw(seed, SIZES[name]))
        assert not verdict.violation, (
            f"{verdict.violation}\nplay it: pyfl simulate --size {name} --seeds {seed}..{seed}\n{draw(seed, SIZES[name])}"
        )


@pytest.mark.parametrize(("name", "block"), [(name, block) for name in SIZES for block in range(BLOCKS[name])])
def test_a_swarm_under_random_faults_keeps_its_promises(name: str, block: int) -> None:
    keeps_its_promises(name, block)


@pytest.mark.soak
@pytest.mark.parametrize(("name", "block"), [(name, block) for name in SIZES for block in range(BLOCKS[name], SOAK_BLOCKS[name])])
def test_a_swarm_under_very_many_random_faults_keeps_its_promises(name: str, block: int) -> None:
    keeps_its_promises(name, block)

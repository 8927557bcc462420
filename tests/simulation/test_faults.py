"""Swarms under random faults keep I1 to I6, whatever the seed. A seed that fails prints its run.

`PYFL_SEEDS=1234` or `PYFL_SEEDS=1000-2000` plays seeds of choice; `make soak` plays 20,000.
"""

from __future__ import annotations

import pytest

from pyfl.simulation.drawing import WIDE, draw
from pyfl.simulation.invariants import check
from pyfl.simulation.playing import start
from tests.simulation.chosen_seeds import chosen_seeds, needs_chosen_seeds

BLOCK = 20
BLOCKS = 54
SOAK_BLOCKS = 20_000 // BLOCK


def keeps_its_promises(seed: int) -> None:
    drawn = draw(seed, WIDE)
    try:
        check(start(drawn).run())
    except Exception as error:
        error.add_note(f"\n{drawn}\n\nto play it again: PYFL_SEEDS={seed} pytest tests/simulation/test_faults.py -k choice")
        raise


@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_swarm_under_random_faults_keeps_its_promises(block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        keeps_its_promises(seed)


@pytest.mark.soak
@pytest.mark.parametrize("block", range(BLOCKS, BLOCKS + SOAK_BLOCKS))
def test_a_swarm_under_very_many_random_faults_keeps_its_promises(block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        keeps_its_promises(seed)


@needs_chosen_seeds
def test_seeds_of_choice_keep_their_promises() -> None:
    for seed in chosen_seeds():
        keeps_its_promises(seed)

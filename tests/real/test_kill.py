"""kill -9 of one of six while segments move: the round completes, survivors agree, nobody is counted twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pyfl.peer.herd import Herd
from tests.real.swarms import Story, check_probes, settings_for

pytestmark = pytest.mark.real

PEERS, ROUNDS = 6, 5
STRIDE = 4096
SIZE = 32 * 1024 * 1024


def run_with_kill(directory: Path, seed: int, *, coordinator: bool, moment: str) -> Story:
    """Six peers, one killed `moment` (in the reduce of round 2, or at a random event of it)."""
    rng = random.Random(seed)
    app = f"onehot:size={SIZE}B,stride={STRIDE}"
    story, victim = Story(), -1
    countdown = rng.randint(1, PEERS)
    with Herd(settings_for(directory, PEERS, app, ROUNDS, serve=False), framework=False) as herd:
        for item in herd.events(90.0):
            if item is None:
                continue
            story.take(*item)
            in_reduce = sum(1 for number in story.reducing.values() if number == 2)
            if victim < 0 and in_reduce >= (countdown if moment == "random" else 1) and len(story.ids) == PEERS:
                leader = story.index_of(story.coordinator)
                victim = leader if coordinator else rng.choice([i for i in range(PEERS) if i != leader])
                herd.kill(victim)
        endings = dict(enumerate(herd.endings))
    assert victim >= 0, "nobody was killed: round 2's reduce was not seen"
    late = {index: ending for index, ending in endings.items() if index != victim and (ending is None or ending.code)}
    assert not late, f"survivors did not end well: {late}"
    assert sorted(story.committed) == list(range(ROUNDS + 1)), f"rounds committed: {sorted(story.committed)}"
    for number, digests in story.installed.items():
        assert number < 3 or set(digests) >= set(range(PEERS)) - {victim}, f"round {number} is held by {sorted(digests)}"
    story.check_digests()
    return story


@pytest.mark.timeout(150)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("coordinator", [False, True], ids=["member", "coordinator"])
def test_survivors_of_a_kill_in_the_reduce_agree(tmp_path: Path, seed: int, coordinator: bool) -> None:
    story = run_with_kill(tmp_path, seed, coordinator=coordinator, moment="random")
    assert check_probes(tmp_path, story, STRIDE, PEERS) >= 1


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_twenty_kills_at_random_moments(tmp_path: Path, seed: int) -> None:
    story = run_with_kill(tmp_path, 100 + seed, coordinator=seed % 4 == 0, moment="random")
    assert check_probes(tmp_path, story, STRIDE, PEERS) >= 1

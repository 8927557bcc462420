"""Statistics before round 1 between real processes, of which one, or all, are killed while they are added up or after."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from pyfl import events
from pyfl.checkpoints import Saved
from tests.real.preparing_apps import Whose
from tests.real.test_restart import Run, herd_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]

PEERS, ROUNDS, NUMBERS = 4, 5, 200_000  # 3.2 MB of limbs, in 49 segments
APP = f"tests.real.preparing_apps:app:numbers={NUMBERS},sum_s=0.3,train_s=0.2"


def sums(directory: Path) -> dict[str, bytes]:
    """What each checkpoint of each peer says that the statistics are."""
    found = {str(path): msgspec.json.decode(path.read_bytes(), type=Saved) for path in directory.glob("peer-*/checkpoints/round-*.json")}
    return {path: saved.statistics for path, saved in found.items()}


def check_sums(directory: Path, run: Run) -> None:
    """One sum, that of the peers which the commit lists."""
    listed = {run.story.index_of(peer) for peer in run.story.committed[0].contributors}
    whose = Whose(NUMBERS, PEERS, 0.0)
    with np.errstate(over="ignore"):
        total = np.add.reduce([whose.local(index) for index in listed])
    known = sums(directory)
    assert len({Path(path).parent.parent.name for path in known}) >= PEERS - 1
    assert set(known.values()) == {total.tobytes()}


def said_of_0(run: Run, kind: type[events.ObservedEvent]) -> bool:
    return any(isinstance(event, kind) and getattr(event, "round", -1) == 0 for told in run.told.values() for event in told)


@pytest.mark.parametrize("moment", [events.TrainingStarted, events.ReduceStarted, events.ResultHeld], ids=["summing", "reduce", "held"])
@pytest.mark.parametrize("coordinator", [False, True], ids=["member", "coordinator"])
def test_a_peer_killed_in_the_preparation_and_started_again(tmp_path: Path, moment: type[events.ObservedEvent], coordinator: bool) -> None:
    herd, settings = herd_of(tmp_path, PEERS, ROUNDS, APP)
    with herd:
        run = Run(herd, settings)
        run.until(lambda: said_of_0(run, moment) and len(run.story.ids) == PEERS, f"{moment.__name__} of the preparation")
        leader = run.story.index_of(run.story.coordinator)
        victim = leader if coordinator else next(i for i in range(PEERS) if i != leader)
        herd.kill(victim)
        run.until(lambda: herd.endings[victim] is not None, "it is dead")
        life = run.restart(victim)
        run.finish()
    assert sorted(run.story.committed) == list(range(ROUNDS + 1))
    assert len(run.story.committed[0].contributors) >= PEERS - 1
    check_sums(tmp_path, run)
    trained = [e for e in run.said(life, events.TrainingEnded) if isinstance(e, events.TrainingEnded)]
    assert trained, "whoever starts again is told the statistics, without which it could not train"


def test_a_whole_swarm_killed_after_the_preparation_has_its_statistics_again_and_adds_nothing_up(tmp_path: Path) -> None:
    herd, settings = herd_of(tmp_path, PEERS, ROUNDS, APP)
    with herd:
        run = Run(herd, settings)
        run.until(lambda: run.committed(0), "the statistics are agreed on")
        for index in range(PEERS):
            herd.kill(index)
        run.until(lambda: all(herd.endings[index] is not None for index in range(PEERS)), "all are dead")
        lives = [run.restart(index) for index in range(PEERS)]
        run.finish()
    for life in lives:
        again = [e for e in run.said(life, events.TrainingStarted) if isinstance(e, events.TrainingStarted) and e.round == 0]
        assert again == []
    assert sorted(run.story.committed) == list(range(ROUNDS + 1))
    check_sums(tmp_path, run)

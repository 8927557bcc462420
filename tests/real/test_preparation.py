"""Statistics before round 1 between real processes, of which one, or all, are killed while they are added up or after."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import pyfl
from pyfl import events
from pyfl.checkpoints import Saved
from pyfl.errors import RunFailed
from pyfl.overlay.free_port import free_ports
from pyfl.peer.swarm_key import write_secret
from pyfl.preparation import Classes
from tests.real.preparing_apps import Preparing, Whose
from tests.real.runs import Run, herd_of

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
    return any(isinstance(event.data, kind) and getattr(event.data, "round", -1) == 0 for told in run.told.values() for event in told)


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


def key_in(directory: Path) -> str:
    write_secret(directory / "swarm.key", secrets.token_hex(32))
    return str(directory / "swarm.key")


def test_a_trainer_handed_to_a_peer_is_told_before_it_trains(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    trainer = Preparing(0, Whose(12, 3, 0.0), 0.0)
    with pyfl.Peer(listen=f"127.0.0.1:{port}", swarm_key=key_in(tmp_path), data_dir=str(tmp_path)) as peer:
        result = peer.run(trainer, rounds=2, min_peers=1)
    assert [committed.number for committed in result.rounds] == [1, 2]
    assert (result.weights[0] == 2.0).all(), "one peer's data, added in each of two rounds"


def test_a_trainer_whose_data_does_not_suit_ends_the_run_with_a_typed_error(tmp_path: Path) -> None:
    class Labels(Preparing):
        def statistics(self) -> Mapping[str, tuple[Any, Any]]:
            return {"digits": (Classes(10), np.array([1, 10]))}

    (port,) = free_ports(1)
    with (
        pytest.raises(RunFailed, match=r"Statistic 'digits' of this peer's data: Label 1 .* is 10"),
        pyfl.Peer(listen=f"127.0.0.1:{port}", swarm_key=key_in(tmp_path), data_dir=str(tmp_path)) as peer,
    ):
        peer.run(Labels(0, Whose(12, 3, 0.0), 0.0), rounds=2, min_peers=1)

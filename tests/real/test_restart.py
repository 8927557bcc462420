"""Peers that are killed or told to leave, and start again from their data directories."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pyfl import events
from pyfl.events import Stamped
from pyfl.overlay.free_port import free_ports
from pyfl.peer.herd import Herd
from tests.real.programs import Programs
from tests.real.runs import STRIDE, Run, herd_of
from tests.real.swarms import check_probes, models, settings_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


@pytest.mark.parametrize("coordinator", [False, True], ids=["member", "coordinator"])
def test_a_killed_peer_that_starts_again_contributes_again(tmp_path: Path, coordinator: bool) -> None:
    herd, settings = herd_of(tmp_path, 4, 14)
    with herd:
        run = Run(herd, settings)
        run.until(lambda: run.committed(2) and len(run.story.ids) == 4, "round 2")
        leader = run.story.index_of(run.story.coordinator)
        victim = leader if coordinator else next(i for i in range(4) if i != leader)
        before = run.id_of(victim)
        herd.kill(victim)
        life = run.restart(victim)
        run.finish()
    assert run.id_of(victim) == before, "the same peer: its identity is in its data directory"
    installed = run.said(life, events.ModelInstalled)
    assert isinstance(installed[0], events.ModelInstalled)
    assert installed[0].how == "checkpoint", f"it began from {installed[0]}"
    assert installed[0].round >= 1
    began_again = installed[0].round
    counted = [n for n, c in run.story.committed.items() if n > began_again and before in c.contributors]
    assert counted, f"it came back and contributed to none of {sorted(run.story.committed)}"
    assert 14 in counted
    assert check_probes(tmp_path, run.story, STRIDE, 4) >= 1


def test_a_peer_whose_checkpoint_is_the_committed_model_fetches_nothing(tmp_path: Path) -> None:
    """The others wait for it: two of two must contribute, so that no round is committed while it is away."""
    herd, settings = herd_of(tmp_path, 2, 8, min_contributors=2)
    with herd:
        run = Run(herd, settings)
        run.until(lambda: run.committed(3) and len(run.story.installed.get(3, {})) == 2, "round 3 at both")
        leader = run.story.index_of(run.story.coordinator)
        herd.kill(1 - leader)
        life = run.restart(1 - leader)
        run.finish()
    first = run.said(life, events.ModelInstalled)[0]
    assert isinstance(first, events.ModelInstalled)
    assert first.how == "checkpoint"
    pulled = [e for e in run.said(life, events.PullStarted) if isinstance(e, events.PullStarted) and e.round <= first.round]
    assert pulled == [], "it held the model already"
    assert all(len(run.story.committed[n].contributors) == 2 for n in range(1, 9))


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(3, 30))])
def test_a_whole_swarm_killed_at_once_goes_on_from_its_last_commit(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    peers, rounds = rng.choice([3, 4, 5]), 7
    herd, settings = herd_of(tmp_path, peers, rounds)
    after = rng.randint(5, 60)
    with herd:
        run = Run(herd, settings)
        run.until(lambda: run.committed(1), "round 1")
        seen = sum(map(len, run.told.values()))
        run.until(lambda: sum(map(len, run.told.values())) >= seen + after or run.committed(rounds - 2), f"{after} more events")
        for index in range(peers):
            herd.kill(index)
        run.until(lambda: all(herd.endings[index] is not None for index in range(peers)), "all are dead")
        last = max(run.story.committed)
        order = rng.sample(range(peers), peers)
        lives = [run.restart(index) for index in order]
        run.finish()
    founded = [e for life in lives for e in run.said(life, events.RunAdopted) if isinstance(e, events.RunAdopted)]
    assert {e.founded for e in founded} == {False}, "resumed, not founded"
    assert len({e.run for e in founded}) == 1
    installed = [e for life in lives for e in run.said(life, events.ModelInstalled) if isinstance(e, events.ModelInstalled)]
    # A checkpoint, or what was staged before the commit that this peer had not seen yet.
    kept = [e for e in installed if e.round >= last and e.how in ("checkpoint", "reduced")]
    assert kept, f"round {last} was committed, and nobody kept it: {installed}"
    assert min(e.round for e in kept) <= last + 1, "nor is it trained again"
    assert sorted(run.story.committed) == list(range(rounds + 1))
    check_probes(tmp_path, run.story, STRIDE, peers)


AROUND_A_COMMIT = ["first_holds", "majority_holds", "committed", "installed"]
POWER_CUTS = [pytest.param(m, marks=() if m == "committed" else pytest.mark.soak) for m in AROUND_A_COMMIT]


@pytest.mark.parametrize("moment", POWER_CUTS)
def test_a_power_cut_around_a_commit_loses_no_commit(tmp_path: Path, moment: str) -> None:
    """Durability full. What was committed before the cut is the model after it; what was not is committed once, whichever it is."""
    peers, rounds, cut = 4, 6, 3
    herd, settings = herd_of(tmp_path, peers, rounds, durability="full")

    with herd:
        run = Run(herd, settings)
        reached = {
            "first_holds": lambda: sum(n >= cut for n in run.story.held.values()) >= 1,
            "majority_holds": lambda: sum(n >= cut for n in run.story.held.values()) > peers // 2,
            "committed": lambda: run.committed(cut),
            "installed": lambda: cut in run.story.installed,
        }[moment]
        run.until(reached, f"{moment} in round {cut}")
        for index in range(peers):
            herd.kill(index)
        run.until(lambda: all(herd.endings[index] is not None for index in range(peers)), "all are dead")
        last, before = max(run.story.committed), dict(run.story.committed)
        digests = {number: set(found.values()) for number, found in run.story.installed.items()}
        lives = [run.restart(index) for index in range(peers)]
        run.finish()
    assert last in (cut - 1, cut), f"the cut was meant for round {cut}"
    installed = [e for life in lives for e in run.said(life, events.ModelInstalled) if isinstance(e, events.ModelInstalled)]
    kept = [e for e in installed if e.round >= last and e.how in ("checkpoint", "reduced")]
    assert kept, f"round {last} was committed, and nobody kept it: {installed}"
    assert min(e.round for e in kept) <= last + 1, "nor is it trained again"
    assert {e.digest for e in installed if e.round == last} <= {before[last].digest}, "the same round has the same digest"
    for number, known in digests.items():
        assert known == set(run.story.installed[number].values()), f"round {number} has another digest after the cut"
    assert sorted(run.story.committed) == list(range(rounds + 1))
    check_probes(tmp_path, run.story, STRIDE, peers)


def test_a_power_cut_before_anyone_renamed_what_was_staged_loses_no_commit(tmp_path: Path) -> None:
    """Committed in the ledger, and on disk only what voters had made durable before that: the disks are put back to that moment."""
    peers, rounds = 4, 5
    herd, settings = herd_of(tmp_path, peers, rounds, app=f"onehot:size=4MB,stride={STRIDE},train_s=1.5", durability="full")
    with herd:
        run = Run(herd, settings)
        run.until(lambda: len(run.story.installed.get(2, {})) == peers, "round 2 at everyone")
        for index in range(peers):
            herd.kill(index)
        run.until(lambda: all(herd.endings[index] is not None for index in range(peers)), "all are dead")
        last = max(run.story.committed)
        durable = [put_back(Path(peer.data_dir), last) for peer in settings]
        assert sum(durable) >= 2, "a majority of three voters had it on disk before it was committed"
        lives = [run.restart(index) for index in range(peers)]
        run.finish()
    installed = [e for life in lives for e in run.said(life, events.ModelInstalled) if isinstance(e, events.ModelInstalled)]
    assert {e.digest for e in installed if e.round == last} == {run.story.committed[last].digest}
    assert sorted(run.story.committed) == list(range(rounds + 1))
    check_probes(tmp_path, run.story, STRIDE, peers)


def put_back(home: Path, number: int) -> bool:
    """Undo what a peer did with a round's model since its commit; whether it was there before that.

    The model keeps its time of writing when it gets its committed name; a peer without a vote writes it only then.
    """
    if list((home / "checkpoints").glob(f"staged-{number}-*.json")):
        for path in (home / "checkpoints").glob(f"round-{number:06d}.*"):
            path.unlink()
        return True
    journal = [msgspec.json.decode(line, type=Stamped) for line in (home / "events.jsonl").read_bytes().split(b"\n")[:-1]]
    known = next(e for e in journal if isinstance(e.data, events.RoundCommitted) and e.data.round == number)
    name = home / "checkpoints" / f"round-{number:06d}"
    model, sidecar = name.with_suffix(".safetensors"), name.with_suffix(".json")
    if not sidecar.exists():
        return False
    before = model.stat().st_mtime < known.time
    staged = name.with_name(f"staged-{number}-{json.loads(sidecar.read_text())['epoch']}")
    for path in (sidecar, model):
        if before:
            path.rename(staged.with_suffix(path.suffix))
        else:
            path.unlink()
    return before


def test_a_swarm_whose_first_peers_stay_away_finds_itself_by_the_addresses_it_met(tmp_path: Path) -> None:
    """Five peers, all killed; the one that the others were told of never comes back, nor does another."""
    herd, settings = herd_of(tmp_path, 5, 6, min_peers=5)
    with herd:
        run = Run(herd, settings)
        run.until(lambda: run.committed(2), "round 2")
        for index in range(5):
            herd.kill(index)
        run.until(lambda: all(herd.endings[index] is not None for index in range(5)), "all are dead")
        for index in (2, 3, 4):
            run.restart(index)
        del run.life[0], run.life[1]
        run.finish()
    assert sorted(run.story.committed) == list(range(7))


def test_the_founder_may_die_after_round_0(tmp_path: Path) -> None:
    herd, settings = herd_of(tmp_path, 4, 6)
    with herd:
        run = Run(herd, settings)
        run.until(lambda: run.committed(0), "round 0")
        herd.kill(0)
        run.until(lambda: herd.endings[0] is not None, "the founder is dead")
        del run.life[0]
        run.finish()
    assert sorted(run.story.committed) == list(range(7))
    assert len(run.story.committed[6].contributors) == 3


def test_a_founder_that_died_before_it_told_what_is_trained_founds_after_all(tmp_path: Path) -> None:
    """Killed while it builds its model: it has a ledger, and there is no run in it."""
    settings = settings_for(tmp_path, 2, f"tests.real.bad_apps:app:die_once={tmp_path / 'died'}", 3, serve=False)
    with Herd(settings[:1], framework=False) as herd:
        run = Run(herd, settings[:1])
        run.until_over()
        ending = herd.endings[0]
        assert ending is not None
        assert ending.code == -signal.SIGKILL
        assert not run.said(0, events.RunAdopted)
    with Herd(settings, framework=False) as herd:
        run = Run(herd, settings)
        run.finish()
    assert [e.founded for e in run.said(0, events.RunAdopted) if isinstance(e, events.RunAdopted)] == [True]
    assert sorted(run.story.committed) == list(range(4))


def test_a_founder_that_starts_again_trains_for_the_run_that_it_founded(tmp_path: Path) -> None:
    """Its model and data are built from the seed that it drew in its first life, and not from another."""
    herd, settings = herd_of(tmp_path, 2, 40, app="tests.real.bad_apps:app:fault=seed,at=1", min_contributors=2)
    with herd:
        run = Run(herd, settings)
        run.until(lambda: run.committed(3), "round 3")
        herd.kill(0)
        run.until(lambda: herd.endings[0] is not None, "the founder is dead")
        life = run.restart(0)
        run.finish()
    assert [e.founded for e in run.said(life, events.RunAdopted) if isinstance(e, events.RunAdopted)] == [False]
    known = models(tmp_path)
    step = known[40] / 40
    assert np.allclose(known[40] - known[39], step, rtol=1e-4), "every round adds the same, before and after"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_a_goodbye(tmp_path: Path, number: signal.Signals, code: int) -> None:
    ports = free_ports(3)
    with Programs(tmp_path) as swarm:
        common = ("--no-serve",)
        swarm.start("127.0.0.1", str(ports[0]), "--app", "onehot:40KB,train_s=0.2", "--rounds", "100000", "--min-peers", "3", *common)
        swarm.until(lambda: bool(swarm.programs[0].events), 60.0, "the founder tells something")
        for port in ports[1:]:
            swarm.start("127.0.0.1", str(port), f"127.0.0.1:{ports[0]}", *common)
        swarm.until(lambda: all(p.said(events.RoundCommitted) for p in swarm.programs), 60.0, "a round")
        leaver, *others = reversed(swarm.programs)
        me = leaver.events[0].peer
        leaver.signal(number)
        left = [lambda p=p: any(isinstance(e.data, events.PeerLeft) and e.data.peer == me for e in p.events) for p in others]
        swarm.until(lambda: all(told() for told in left), 60.0, "the others hear of it")
        assert leaver.process.wait(60.0) == code, leaver.log.read_text()[-2000:]
        reasons = {e.data.reason for p in others for e in p.said(events.PeerLeft) if isinstance(e.data, events.PeerLeft)}
        assert reasons == {"left"}, "it said goodbye: nobody takes it for dead"
        last = max(e.data.round for e in others[0].said(events.RoundCommitted) if isinstance(e.data, events.RoundCommitted))
        swarm.until(
            lambda: any(isinstance(e.data, events.RoundCommitted) and e.data.round > last + 1 for e in others[0].events), 60.0, "going on"
        )

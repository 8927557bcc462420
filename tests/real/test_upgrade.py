"""A rolling restart, as an upgrade does it: Ctrl-C, and the same command again, one peer after another, while the run goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from pyfl import events
from tests.real.homes import PEERS, Swarm, contributed, digests
from tests.real.programs import Program, Programs, tell
from tests.real.swarms import check_probes, story_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

STRIDE = 64


def coordinator(peers: list[Program]) -> int:
    """Whom they follow now, by index; -1 while nobody is known."""
    for peer in peers:
        for event in reversed(peer.said(events.CoordinatorChanged)):
            if isinstance(event.data, events.CoordinatorChanged) and event.data.coordinator:
                return next((i for i, p in enumerate(peers) if p.events and p.events[0].peer == event.data.coordinator), -1)
            break
    return -1


def test_a_rolling_restart_of_everyone_loses_no_round(tmp_path: Path) -> None:
    with Programs(tmp_path) as programs:
        swarm = Swarm(programs, tmp_path, app=f"onehot:size=1MB,stride={STRIDE},train_s=0.2")
        lives: list[tuple[int, Program]] = []

        def start(index: int) -> Program:
            program = swarm.start(index)
            lives.append((index, program))
            return program

        peers = [start(0)]
        programs.until(lambda: bool(peers[0].events), 60.0, "the founder tells something")
        peers += [start(index) for index in range(1, PEERS)]
        programs.until(lambda: all(len(digests(p)) > 2 for p in peers), 90.0, "everyone sees rounds")

        restarted: list[int] = []
        led = 0
        while len(restarted) < PEERS:
            leads = coordinator(peers)  # the coordinator whenever it has not been restarted yet
            index = leads if leads >= 0 and leads not in restarted else next(i for i in range(PEERS) if i not in restarted)
            led += index == leads
            peers[index].signal(signal.SIGINT)
            programs.until(lambda gone=peers[index]: gone.process.poll() is not None, 30.0, "it ends")
            assert peers[index].process.returncode == 128 + signal.SIGINT
            seen = max(max(digests(p), default=0) for p in peers)
            peers[index] = start(index)
            restarted.append(index)
            others = peers[(index + 1) % PEERS]
            programs.until(
                lambda me=peers[index], by=others, seen=seen: contributed(me, by, seen),
                60.0,
                f"peer {index} contributes again",
            )
        assert led, "no coordinator was restarted"
        tell(tmp_path, swarm.home(0), "stop")
        programs.until(lambda: all(p.said(events.RunFinished) for p in peers), 60.0, "the run ends")
        programs.codes(60.0)

        story = story_of(lives)
        committed = story.committed
        assert sorted(committed) == list(range(max(committed) + 1)), "a round is missing"
        assert not [n for n, c in committed.items() if c.void]
        assert all(len(c.contributors) >= PEERS - 2 for n, c in committed.items() if n), "somebody was lost for longer than a restart"
        story.check_digests()
        assert check_probes(tmp_path, story, STRIDE, PEERS) > 0

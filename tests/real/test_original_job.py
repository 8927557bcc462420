"""The original system's job: six peers, its network, six classes of CIFAR-10 a peer; one is interrupted, one is killed and returns."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from pyfl import events
from pyfl.overlay.free_port import free_ports
from tests.cifar10_images import unpacked
from tests.real.programs import Programs
from tests.real.swarms import Story

pytestmark = [pytest.mark.real, pytest.mark.soak, pytest.mark.timeout(1200)]

PEERS, ROUNDS = 6, 10
JOB = ["--app", "cifar10", "--model", "original", "--partition", "pathological:6", "--limit-samples", "600", "--rounds", str(ROUNDS)]
LIMIT_S = 900.0  # a watchdog, not a claim


def test_the_originals_job_outlives_an_interrupt_and_a_kill(tmp_path: Path) -> None:
    data = ["--data", str(unpacked(tmp_path))]
    ports = free_ports(PEERS)
    with Programs(tmp_path) as swarm:
        commands: list[list[str]] = []
        for index, port in enumerate(ports):
            place = ["--index", str(index), "--of", str(PEERS), *data]
            if index == 0:
                commands.append(["127.0.0.1", str(port), *JOB, "--min-peers", str(PEERS), *place])
            else:
                commands.append(["127.0.0.1", str(port), f"127.0.0.1:{ports[index - 1]}", *place])
            program = swarm.start(*commands[-1])
            swarm.until(lambda p=program: bool(p.events), 120.0, f"{program.name} tells something")

        story = Story()

        def committed(number: int) -> bool:
            return any(isinstance(e.data, events.RoundCommitted) and e.data.round >= number for e in swarm.programs[0].events)

        swarm.until(lambda: committed(1), LIMIT_S, "round 1")
        swarm.programs[4].signal(signal.SIGINT)
        swarm.until(lambda: committed(2), LIMIT_S, "round 2 without the one that left")
        swarm.programs[5].signal(signal.SIGKILL)
        swarm.programs[5].process.wait(30.0)
        swarm.until(lambda: committed(3), LIMIT_S, "round 3 without the one that was killed")
        again = swarm.start(*commands[5], name="peer-5-again")
        codes = swarm.codes(LIMIT_S)
        assert codes == [0, 0, 0, 0, 128 + signal.SIGINT, -signal.SIGKILL, 0], swarm.logs()
        for index, program in enumerate(swarm.programs):
            for event in program.events:
                story.take(min(index, 5), event)

    story.check_digests()
    returned = again.events[0].peer
    assert returned == swarm.programs[5].events[0].peer, "the same peer: its identity is in its data directory"
    installed = [e.data for e in again.said(events.ModelInstalled) if isinstance(e.data, events.ModelInstalled)]
    assert installed[0].how == "checkpoint", "it began with what it had"
    last = story.committed[ROUNDS]
    assert returned in last.contributors, "six rounds are enough to load the framework on a saturated machine"
    assert swarm.programs[4].events[0].peer not in last.contributors
    assert len(last.contributors) == PEERS - 1
    for number in sorted(story.committed):
        commit = story.committed[number]
        print(f"round {number}: {len(commit.contributors)} contributors, accuracy {commit.accuracy}, train {commit.train_s:.1f} s")
    assert last.accuracy is not None
    first = story.committed[1].accuracy
    assert first is not None
    assert last.accuracy > first, "it learned"

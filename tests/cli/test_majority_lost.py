"""A peer that gives up names whom to start, also those that died long ago."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from pyfl import events
from pyfl.overlay.free_port import free_ports
from tests.real.programs import Programs

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]


def test_whoever_gives_up_says_which_voters_to_start(tmp_path: Path) -> None:
    first, second = free_ports(2)
    with Programs(tmp_path) as swarm:
        run = ("--app", "linear", "--rounds", "100000", "--min-peers", "2", "--voters", "1")
        founder = swarm.start("127.0.0.1", str(first), *run, "--name", "heron")
        swarm.until(lambda: bool(founder.events), 60.0, "the founder tells something")
        joiner = swarm.start("127.0.0.1", str(second), f"127.0.0.1:{first}", "--give-up", "1", "--heartbeat-ms", "500")
        swarm.until(lambda: bool(joiner.said(events.RoundCommitted)), 60.0, "the joiner sees a round")
        founder.signal(signal.SIGKILL)
        assert swarm.codes(60.0) == [-signal.SIGKILL, 6]
        said = joiner.log.read_text()
        assert f"heron at 127.0.0.1:{first}" in said.split("The voters are")[-1]
        assert "recover" not in said

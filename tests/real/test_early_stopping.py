"""A real swarm with --early-stopping: it ends by itself, everywhere after the same round and for the same reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyfl import events
from pyfl.checkpoints import best_checkpoint
from pyfl.overlay.free_port import free_ports
from tests.real.programs import Programs
from tests.real.swarms import story_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


def test_the_swarm_ends_by_its_metric_and_every_peer_keeps_the_best_model(tmp_path: Path) -> None:
    with Programs(tmp_path) as swarm:
        ports = free_ports(3)
        rule = ["--rounds", "1000", "--min-peers", "3", "--early-stopping", "loss:patience=3,min_delta=0.0001"]
        swarm.start("127.0.0.1", str(ports[0]), "--app", "linear:steps=40", *rule)
        swarm.until(lambda: bool(swarm.programs[0].events), 60.0, "the founder tells something")
        for port in ports[1:]:
            swarm.start("127.0.0.1", str(port), f"127.0.0.1:{ports[0]}")
        assert swarm.codes(90.0) == [0, 0, 0], swarm.logs()
        story = story_of(enumerate(swarm.programs))
        story.check_digests()
        losses = {number: e.loss for number, e in story.committed.items() if e.loss is not None and e.scored}
        best = min(losses, key=lambda number: (losses[number], number))
        last = {e.data.round for p in swarm.programs for e in p.said(events.RunFinished) if isinstance(e.data, events.RunFinished)}
        assert last == {max(story.committed)}
        reasons = {re.search(r"why='(held-out loss.*?)'", program.log.read_text()) for program in swarm.programs}
        assert {found and found[1] for found in reasons} == {
            f"held-out loss has not improved by more than 0.0001 for 3 rounds; the best is {losses[best]:.4g}, of round {best}"
        }
        for directory in (tmp_path / "pyfl-data").iterdir():
            assert best_checkpoint(directory)[0].model == story.committed[best].digest

"""`pyfl recover` as an operator calls it: what it says, what it refuses, and what it exits with. tests/real has what comes of it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from pyfl import events
from pyfl.overlay.free_port import free_ports
from tests.cli.command_line import pyfl
from tests.real.programs import Programs

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

PEERS = 3


def test_without_a_ledger_there_is_nothing_to_recover(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for more in ((), ("--dry-run",), ("--yes", "--json")):
        ended = pyfl("recover", "--data-dir", "empty", *more, cwd=tmp_path)
        assert (ended.returncode, ended.stdout) == (1, ""), more
        assert ended.stderr.startswith("error: ")
    assert not list((tmp_path / "empty").iterdir())


def test_a_lost_majority_is_shown_then_asked_about_then_recovered_once(tmp_path: Path) -> None:
    home = tmp_path / "peer-1"
    with Programs(tmp_path) as programs:
        ports = free_ports(PEERS)
        for index, port in enumerate(ports):
            more = (f"127.0.0.1:{ports[0]}",) if index else ("--app", "linear", "--rounds", "100000", "--min-peers", str(PEERS))
            peer = programs.start("127.0.0.1", str(port), *more, "--data-dir", str(tmp_path / f"peer-{index}"))
            programs.until(lambda peer=peer: bool(peer.events), 60.0, "it tells something")
        peers = programs.programs
        programs.until(lambda: all(p.said(events.RoundCommitted) for p in peers), 90.0, "everyone sees a round")
        running = pyfl("recover", "--data-dir", str(home), "--dry-run", cwd=tmp_path)
        assert running.returncode == 1
        assert "stop it first" in running.stderr
        for peer in peers:
            peer.signal(signal.SIGKILL)
            peer.process.wait()

    shown = pyfl("recover", "--data-dir", str(home), "--dry-run", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    first, second, *_ = shown.stdout.splitlines()
    assert "one of its voters" in first
    assert "in epoch 1" in first
    assert second.startswith("The last committed round known here is ")

    asked = pyfl("recover", "--data-dir", str(home), cwd=tmp_path)
    assert asked.returncode == 1
    assert asked.stdout == shown.stdout, "it says the same before it asks"
    assert "say --yes" in asked.stderr

    before = json.loads(pyfl("recover", "--data-dir", str(home), "--dry-run", "--json", cwd=tmp_path).stdout)
    assert (before["epoch"], len(before["voters"]), before["votes"]) == (1, PEERS, True), "nothing was changed so far"

    done = pyfl("recover", "--data-dir", str(home), "--yes", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("The ledger of epoch 2 has this peer as its only voter")
    assert list(home.glob("ledger.epoch-1-*")), "the old one is kept"

    again = pyfl("recover", "--data-dir", str(home), "--yes", cwd=tmp_path)
    assert again.returncode == 1
    assert "1 of 1 voters are here" in again.stderr
    after = json.loads(pyfl("recover", "--data-dir", str(home), "--dry-run", "--json", cwd=tmp_path).stdout)
    assert (after["epoch"], after["voters"], after["round"]) == (2, [before["peer"]], before["round"])
    assert after["digest"] == before["digest"]

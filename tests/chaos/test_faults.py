"""Short chaos runs over real processes: a fault of every kind is done, and the peers' records show that no promise was broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyfl.chaos.harness import chaos
from pyfl.chaos.settings import ChaosSettings

pytestmark = pytest.mark.real


def run(directory: Path, faults: tuple[str, ...], **more: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All lines and the summary."""
    given: dict[str, Any] = {"peers": 5, "rounds": 4, "mb": 1.0, "train_s": 0.7, "seed": 1, "lasts_s": 3.0, "give_up_s": 60.0, **more}
    lines = list(chaos(ChaosSettings(directory=directory, faults=faults, **given)))
    assert lines[-1]["event"] == "summary"
    return lines, lines[-1]


def check(lines: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    """Every promise was kept, and it was looked at."""
    assert not [line for line in lines if line["event"] == "violation"]
    assert (summary["divergent"], summary["double_counted"], summary["unlisted"]) == (0, 0, 0)
    assert summary["rounds_committed"] == summary["rounds"]
    assert summary["probed"] > 0
    assert summary["checkpoints_read"] > 0


@pytest.mark.timeout(120)
def test_killed_peers_come_back_and_nothing_is_lost(tmp_path: Path) -> None:
    lines, summary = run(tmp_path, ("kill",), coordinator_share=0.5)
    check(lines, summary)
    faults = [line for line in lines if line["event"] == "fault"]
    assert faults
    assert summary["faults"] == len(faults)
    assert all(fault["detect_s"] is not None and fault["repair_s"] is not None for fault in faults)


@pytest.mark.timeout(120)
def test_the_command_prints_json_alone_and_leaves_its_record(tmp_path: Path) -> None:
    command = ["chaos", "--peers", "3", "--rounds", "2", "--per-round", "0", "--mb", "1", "--train-s", "0", "--dir", "run", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", "from pyfl.cli import main; main()", *command],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["event"] == "summary"
    assert lines == [json.loads(line) for line in (tmp_path / "run" / "chaos.jsonl").read_text().splitlines()]

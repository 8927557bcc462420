"""Short chaos runs over real processes: a fault of every kind is done, and the peers' records show that no promise was broken."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyfl.chaos.harness import chaos
from pyfl.chaos.namespaces import permitted
from pyfl.chaos.settings import ChaosSettings
from pyfl.errors import ChaosError

pytestmark = pytest.mark.real
ONE_FAULT = {"peers": 4, "rounds": 3, "per_round": 0.5, "lasts_s": 2.0, "train_s": 0.3}


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
@pytest.mark.parametrize("kind", ["stop", "wipe", "disk", "power"])
def test_a_fault_of_processes_and_disks_breaks_no_promise(tmp_path: Path, kind: str) -> None:
    lines, summary = run(tmp_path, (kind,), **ONE_FAULT)
    check(lines, summary)
    done = [line for line in lines if line["event"] == "fault"]
    assert [line["kind"] for line in done] == [kind]
    assert done[0]["repair_s"] is not None
    assert summary["disk"] in (("tmpfs", "rlimit") if kind == "disk" else ("",))


@pytest.mark.timeout(120)
@pytest.mark.skipif(bool(permitted()), reason=f"network namespaces: {permitted()}")
@pytest.mark.parametrize("kind", ["partition", "link", "slow"])
def test_a_fault_of_the_network_breaks_no_promise(tmp_path: Path, kind: str) -> None:
    lines, summary = run(tmp_path, (kind,), **ONE_FAULT)
    check(lines, summary)
    assert [line["kind"] for line in lines if line["event"] == "fault"] == [kind]
    assert summary["network"] == "namespaces"


@pytest.mark.timeout(180)
@pytest.mark.skipif(bool(permitted()), reason=f"network namespaces: {permitted()}")
def test_of_two_sides_as_asked_for_one_commits_and_all_are_equal_after_the_healing(tmp_path: Path) -> None:
    lines, summary = run(tmp_path, ("partition",), **{**ONE_FAULT, "peers": 5, "split": "3:2", "heal_after_s": 6.0})
    check(lines, summary)
    fault = next(line for line in lines if line["event"] == "fault")
    assert [len(side) for side in fault["sides"]] == [3, 2]
    assert min(fault["side_commits"]) == 0
    assert fault["equal_s"] is not None
    assert fault["lasted_s"] >= 6
    assert [split["side_commits"] for split in summary["splits"]] == [fault["side_commits"]]


@pytest.mark.timeout(120)
@pytest.mark.skipif(bool(permitted()), reason=f"network namespaces: {permitted()}")
def test_whoever_ends_it_early_finds_nothing_left(tmp_path: Path) -> None:
    going = chaos(ChaosSettings(directory=tmp_path, faults=("slow", "disk"), peers=3, rounds=50, mb=1.0))
    while next(going)["event"] != "round":
        pass
    assert len(namespaces()) == 4
    going.close()
    assert not namespaces()
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert str(tmp_path) not in command_lines()


def namespaces() -> list[str]:
    """Those of this process: other runs may come and go."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.split()
    return [name for name in listed if name.startswith(f"pyfl-{os.getpid()}-")]


def command_lines() -> str:
    """Where every process that can be seen works."""
    places: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            places.append(os.readlink(process / "cwd"))
    return "\n".join(places)


def test_network_faults_are_refused_where_there_are_no_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyfl.chaos.stage.permitted", lambda: "this is not root")
    with pytest.raises(ChaosError, match="needs network namespaces, and this is not root"):
        next(chaos(ChaosSettings(directory=tmp_path, faults=("kill", "link"))))


def test_data_of_another_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "peer-3").mkdir()
    with pytest.raises(ChaosError, match="peers of an earlier run"):
        next(chaos(ChaosSettings(directory=tmp_path)))


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

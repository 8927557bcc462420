"""`pyfl simulate` as a script calls it: what it prints, what it exits with, and what it leaves of a failing seed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyfl.simulation.drawing import draw
from tests.cli.command_line import pyfl
from tests.real.programs import environment

pytestmark = pytest.mark.real

BROKEN = (
    "import sys; from pyfl.cli import main; from tests.simulation.mutations import MUTATIONS, mutated; sys.argv[0] = 'pyfl'\n"
    "with mutated(next(m for m in MUTATIONS if m.name.startswith('contribution'))): main()"
)
"""`pyfl`, but a round that is begun again takes half an update."""


def lines(text: str) -> list[dict[str, Any]]:
    """Standard output, which is JSON lines and nothing else."""
    return [json.loads(line) for line in text.splitlines()]


def test_seeds_that_keep_every_promise_end_with_0_and_a_sentence(tmp_path: Path) -> None:
    done = pyfl("simulate", "--seeds", "0..3", "--jobs", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 runs with ")
    assert done.stdout.rstrip().endswith("on 2 processes: no violation")
    assert not list(tmp_path.iterdir()), "nothing is written where nothing failed"


def test_json_is_one_object_a_line_and_the_last_is_the_summary(tmp_path: Path) -> None:
    done = pyfl("simulate", "--seeds", "17..17", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    played, summary = lines(done.stdout)
    assert (played["event"], played["seed"], played["violation"]) == ("played", 17, None)
    assert (summary["event"], summary["seeds"], summary["violations"], summary["first_failing_seed"]) == ("summary", 1, 0, None)
    told = {"event", "seeds", "violations", "first_failing_seed", "seconds", "jobs", "commits", "standing_still", "virtual_s", "struck"}
    assert set(summary) == told, "as docs/use.md has them"
    assert summary["commits"] == played["rounds"] > 0


def test_one_seed_is_printed_as_a_scenario_that_plays_alike(tmp_path: Path) -> None:
    done = pyfl("simulate", "--seeds", "17..17", cwd=tmp_path)
    scenario, _, rest = done.stdout.partition("\n\n")
    assert scenario == str(draw(17)).strip()
    (tmp_path / "story.txt").write_text(scenario)
    again = pyfl("simulate", "--scenario", "story.txt", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.splitlines()[0] == rest.splitlines()[0]


def test_a_failing_seed_ends_with_1_and_leaves_a_smaller_scenario_that_fails_alike(tmp_path: Path) -> None:
    done = broken("--seeds", "0..7", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    *told, summary = lines(done.stdout)
    violations = {line["seed"]: line["violation"] for line in told if line["event"] == "violation"}
    shrunk = {line["seed"]: line for line in told if line["event"] == "shrunk"}
    first = summary["first_failing_seed"]
    assert (summary["violations"], first) == (len(violations), min(violations))
    written = Path(shrunk[first]["path"])
    assert written == Path("scenarios", f"seed-{first}.txt")
    text = (tmp_path / written).read_text()
    assert text.startswith("# ")
    assert shrunk[first]["scenario"] in text
    assert len(shrunk[first]["scenario"]) < len(str(draw(first)))
    again = broken("--scenario", str(written), cwd=tmp_path)
    assert again.returncode == 1, again.stderr
    assert lines(again.stdout)[0]["violation"] == shrunk[first]["violation"]
    assert pyfl("simulate", "--scenario", str(written), cwd=tmp_path).returncode == 0, "the story blames what was broken alone"


def broken(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`pyfl simulate ... --jobs 1 --json` that breaks a promise."""
    command = [sys.executable, "-c", BROKEN, "simulate", *arguments, "--jobs", "1", "--json"]
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120.0, check=False)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--seeds", "9..3"), "is no range"),
        (("--faults", "explode"), "is no kind of fault"),
        (("--size", "huge"), "expected standard or wide"),
        (("--peers", "0"), "expected from 1 to"),
        (("--scenario", "absent.txt"), "cannot be read"),
    ],
)
def test_what_cannot_be_played_is_exit_5_in_one_line(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    ended = pyfl("simulate", *arguments, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (5, "")
    assert complaint in ended.stderr
    assert ended.stderr.count("\n") == 1

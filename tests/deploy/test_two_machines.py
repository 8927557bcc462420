"""README's "Two machines", as printed, on two network namespaces. That `pip install` gives a working `pyfl`: tests/packaging."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.network_machines import reason_for_none, two_machines

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def printed() -> list[list[str]]:
    """The section's blocks of commands: both machines', the first's, the second's, and what may be asked beside them."""
    section = README.partition("## Two machines\n")[2].partition("\n## ")[0]
    return [[line.partition("  #")[0].strip() for line in block.splitlines()] for block in BLOCK.findall(section)]


def checkpoint(directory: Path, number: int) -> dict[str, Any]:
    [record] = directory.glob(f"pyfl-data/*/checkpoints/round-{number:06}.json")
    return json.loads(record.read_text())


def test_the_whole_story_is_under_ten_commands_on_one_screen() -> None:
    section = README.partition("## Two machines\n")[2].partition("\n## ")[0]
    assert 4 <= sum(map(len, printed())) < 10
    assert len(section.splitlines()) <= 40


def test_two_machines_that_follow_the_readme_train_one_model(tmp_path: Path) -> None:
    if reason := reason_for_none():
        pytest.skip(reason)
    install, first, second, *_ = printed()
    assert install == ["pip install ."]
    addresses = re.findall(r"--listen (\S+):\d+", README.partition("## Two machines\n")[2])[:2]
    rounds = int(re.search(r"--rounds (\d+)", "\n".join(first))[1])  # type: ignore[index]
    # The command as it is installed, and no settings of the user's own.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYFL_")}
    environment = {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TF_CPP_MIN_LOG_LEVEL": "3"}

    with two_machines(tmp_path, (addresses[0], addresses[1]), environment) as (one, two):
        *before, founding = first
        token = [one.run(line) for line in before][-1].strip()
        assert token.startswith("pyfl-"), "the last command before the founder prints the token"
        founder = one.start(founding)
        [joining] = second
        assert "TOKEN" in joining
        joiner = two.start(joining.replace("TOKEN", token))
        said = {process: process.communicate(timeout=240)[0] for process in (founder, joiner)}
        assert [process.returncode for process in said] == [0, 0], "\n\n".join(said.values())

        last = [checkpoint(machine.directory, rounds) for machine in (one, two)]
        assert last[0]["model"] == last[1]["model"]
        assert "2 contributors" in said[joiner]
        assert not (two.directory / "swarm.key").exists(), "the token is all that went over"

"""The stories in `scenarios/` are replayed: what the machines do must be what the text says.

A story is commands, each followed by `----` and what happened. `PYFL_REWRITE=1 pytest tests/rounds/test_scenarios.py` writes what happens
now into the files; read the difference before committing it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.rounds.story import Table

STORIES = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


def replay(text: str) -> str:
    """The story as it goes now."""
    table = Table()
    told: list[str] = []
    for part in text.strip().split("\n\n"):
        comments = [line for line in part.splitlines() if line.startswith("#")]
        rest = [line for line in part.splitlines() if not line.startswith("#")]
        commands = rest[: rest.index("----")] if "----" in rest else rest
        if not commands:
            told.append("\n".join(comments))
            continue
        happened = "\n".join(table.play(command) for command in commands)
        told.append("\n".join([*comments, *commands, "----", happened]))
    return "\n\n".join(told) + "\n"


@pytest.mark.parametrize("story", STORIES, ids=lambda p: p.stem)
def test_the_story_goes_as_it_is_told(story: Path) -> None:
    before = story.read_text()
    now = replay(before)
    if os.environ.get("PYFL_REWRITE"):
        story.write_text(now)
        return
    assert now.splitlines() == before.splitlines(), f"{story.name} goes otherwise now; PYFL_REWRITE=1 writes it down"


def test_there_are_stories() -> None:
    assert len(STORIES) > 10

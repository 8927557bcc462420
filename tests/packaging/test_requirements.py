"""The pinned requirements: hashes for everything, no URLs, and nothing that pyproject.toml asks for left out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = ["requirements.txt", "requirements-dev.txt", *(f"requirements/{tool}.txt" for tool in ("build", "dashboard", "go", "uv", "zig"))]


def pins(name: str) -> dict[str, list[str]]:
    """Each pinned requirement, such as numpy==2.4.6, with its hashes."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in (CHECKOUT / name).read_text().splitlines():
        if match := re.match(r"([a-z0-9-]+(?:\[[a-z,]+\])?==[^ ]+)", line):
            current = found.setdefault(match[1], [])
        elif match := re.match(r"    --hash=(sha256:[0-9a-f]{64})( \\)?$", line):
            current.append(match[1])
        else:
            pytest.fail(f"{name}: not a pin and not a hash: {line!r}")
    return found


@pytest.mark.parametrize("name", FILES)
def test_every_pin_has_hashes_and_no_url(name: str) -> None:
    assert "://" not in (CHECKOUT / name).read_text()
    assert [pin for pin, hashes in pins(name).items() if not hashes] == []


def test_all_that_pyproject_asks_for_is_pinned_and_the_same_in_both_files() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    asked = {re.split(r"[<>=\[;]", dependency)[0] for dependency in project["dependencies"]}
    runtime = pins("requirements.txt")
    assert asked - {pin.split("==")[0] for pin in runtime} == set(), "run `make lock`"
    assert runtime.keys() - pins("requirements-dev.txt").keys() == set(), "run `make lock`"

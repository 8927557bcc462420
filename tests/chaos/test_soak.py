"""Long chaos runs over real processes: a kill in each of 200 rounds, 50 rounds of every other fault, all mixed, and kills on Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyfl.chaos.harness import chaos
from pyfl.chaos.namespaces import permitted
from pyfl.chaos.plan import KINDS, NETWORK_KINDS
from pyfl.chaos.settings import ChaosSettings

pytestmark = [pytest.mark.real, pytest.mark.soak]


def soak(directory: Path, faults: tuple[str, ...], rounds: int, **more: Any) -> None:
    """Run it to its end: every round is committed, and nothing was broken."""
    if NETWORK_KINDS & set(faults) and permitted():
        pytest.skip(f"network namespaces: {permitted()}")
    lines = list(chaos(ChaosSettings(directory=directory, faults=faults, rounds=rounds, seed=rounds, **more)))
    summary = lines[-1]
    assert not [line for line in lines if line["event"] == "violation"]
    assert (summary["rounds_committed"], summary["divergent"], summary["double_counted"], summary["unlisted"]) == (rounds, 0, 0, 0)
    assert summary["faults"] > 0


def test_a_kill_in_each_of_two_hundred_rounds(tmp_path: Path) -> None:
    soak(tmp_path, ("kill",), 200)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "kill"])
def test_fifty_rounds_of_every_other_fault(tmp_path: Path, kind: str) -> None:
    soak(tmp_path, (kind,), 50)


def test_a_hundred_rounds_of_everything(tmp_path: Path) -> None:
    soak(tmp_path, KINDS, 100)


def test_twenty_rounds_of_kills_on_keras(tmp_path: Path) -> None:
    soak(tmp_path, ("kill",), 20, app="digits")

"""The public namespace: these names, sorted, each of which loads; and an import that costs next to nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pyfl


def test_the_public_names_are_these() -> None:
    names = [
        "App", "Deadlines", "EarlyStopping", "Evaluation", "Peer", "RoundInfo", "TrainResult", "Trainer", "__version__", "errors", "keras",
        "preparation", "strategies", "tiers",
    ]  # fmt: skip
    assert pyfl.__all__ == names
    assert dir(pyfl) == names
    for name in names:
        assert getattr(pyfl, name) is not None


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="pyfl has no 'Pear'; it has App, "):
        _ = pyfl.Pear  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import pyfl", ["numpy", "msgspec", "tensorflow", "keras", "pyfl.overlay"]),
        ("import pyfl; [getattr(pyfl, n) for n in dir(pyfl)]", ["tensorflow", "keras", "pyfl.overlay._p2plib"]),
    ],
)
def test_importing_brings_in_no_framework_and_not_the_overlay(code: str, unwanted: list[str]) -> None:
    loaded = f"{code}\nimport sys; print(*sorted(sys.modules), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert set(unwanted) & set(done.stdout.split()) == set()

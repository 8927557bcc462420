"""A process whose peer does not end, though it has said that it goes, ends all the same, and says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

HELD_UP = """
import threading
from pyfl.peer.last_resort import LastResort
with LastResort(0.2) as last:
    last.start({code}, "The disk is full.")
    {then}
print("ended by itself")
"""


@pytest.mark.parametrize(("code", "expected"), [(1, 1), (7, 7), (0, 1)])
def test_what_never_ends_is_left_behind(code: int, expected: int) -> None:
    done = ended(HELD_UP.format(code=code, then="threading.Event().wait()"))
    assert (done.returncode, done.stdout) == (expected, "")
    assert done.stderr.startswith("error: The disk is full. A part of this peer had not ended 0.2 s later")


def test_what_ends_is_left_alone() -> None:
    done = ended(HELD_UP.format(code=1, then="pass") + "threading.Event().wait(0.5)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended by itself\n", "")


def ended(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

"""`pyfl` in a process of its own, as a script calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.real.programs import environment

__all__ = ["command_line", "pyfl"]


def command_line(*arguments: str) -> list[str]:
    """What to start for `pyfl ARGUMENTS`."""
    return [sys.executable, "-c", "import sys; from pyfl.cli import main; sys.argv[0] = 'pyfl'; main()", *arguments]


def pyfl(*arguments: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run to its end; settings of the user's own are left out, `more` is added to its environment."""
    return subprocess.run(
        command_line(*arguments), cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=60.0, check=False
    )

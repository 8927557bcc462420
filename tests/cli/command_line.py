"""`pyfl` in a process of its own, as a script calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["pyfl"]

ROOT = Path(__file__).resolve().parents[2]


def pyfl(*arguments: str, cwd: Path, timeout: float = 60.0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run to its end; settings of the user's own are left out, `environment` is added."""
    code = "import sys; from pyfl.cli import main; sys.argv[0] = 'pyfl'; main()"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYFL_")}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, timeout=timeout,
        env=inherited | {"PYTHONPATH": str(ROOT)} | environment, check=False,
    )  # fmt: skip

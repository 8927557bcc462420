"""Which running peer a command means: `--data-dir`, or the only one below ./pyfl-data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyfl.errors import NoPeerRunning
from pyfl.serving.places import POINTER, SOCKET

__all__ = ["DataDir", "find_data_dir"]

ROOT = "pyfl-data"

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="PYFL_DATA_DIR",
        help=f"The peer's data directory. Default: the only one below ./{ROOT}.",
        show_default=False,
        metavar="DIR",
    ),
]


def find_data_dir(given: Path | None, root: Path = Path(ROOT)) -> Path:
    """The directory of the peer that is meant. Raises `NoPeerRunning` if there is none, or more than one."""
    if given is not None:
        if not given.is_dir():
            raise NoPeerRunning(f"There is no directory {given}. Expected a peer's data directory, as {root}/127.0.0.1-7700.")
        return given
    found = sorted(path for path in root.glob("*/") if path.is_dir()) if root.is_dir() else []
    if not found:
        raise NoPeerRunning(
            f"There is no peer's data directory below ./{root}. Start a peer with `pyfl peer`, or name one with --data-dir."
        )
    running = [path for path in found if (path / SOCKET).exists() or (path / POINTER).exists()]
    choice = running or found
    if len(choice) > 1:
        listed = "\n".join(f"  --data-dir {path}" for path in choice)
        raise NoPeerRunning(f"There are {len(choice)} peers below ./{root}; say which:\n{listed}")
    return choice[0]

"""The `pyfl` command. Only typer and rich are imported before a command runs: `pyfl --help` must not wait for a framework."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line; never returns but by SystemExit."""
    from pyfl.cli.program import program

    program()

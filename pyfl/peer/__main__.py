"""`python -m pyfl.peer SELF_IP PORT [BOOTSTRAP_IP:PORT] [options]`: the original system's form of `pyfl peer`."""

from __future__ import annotations

import typer

from pyfl.cli.peer import peer
from pyfl.cli.typed_errors import reported

program = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
program.command()(reported(peer))

if __name__ == "__main__":
    program(prog_name="python -m pyfl.peer")

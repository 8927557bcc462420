"""Every command of `pyfl`, in the order in which one needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from pyfl import __version__
from pyfl.cli.bench import bench
from pyfl.cli.chaos import chaos
from pyfl.cli.config import config
from pyfl.cli.dashboard import dashboard
from pyfl.cli.demo import demo
from pyfl.cli.doctor import doctor
from pyfl.cli.export import export
from pyfl.cli.init import init
from pyfl.cli.observe import events, peers, rounds, status
from pyfl.cli.operate import kick, leave, pause, resume, stop
from pyfl.cli.peer import peer
from pyfl.cli.predict import predict
from pyfl.cli.recover import recover
from pyfl.cli.simulate import simulate
from pyfl.cli.token import token
from pyfl.cli.typed_errors import reported
from pyfl.cli.watch import watch

__all__ = ["program"]

program = typer.Typer(
    name="pyfl",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

START, WATCH, OPERATE, USE, MEASURE = "Start", "Watch a running peer", "Operate a running peer", "Use a committed model", "Measure"

_PANELS: dict[str, list[Callable[..., None]]] = {
    START: [demo, init, peer, token, doctor],
    WATCH: [dashboard, watch, status, peers, rounds, events],
    OPERATE: [pause, resume, kick, leave, stop, recover],
    USE: [predict, export],
    MEASURE: [chaos, simulate],
}
for panel, commands in _PANELS.items():
    for command in commands:
        program.command(rich_help_panel=panel)(reported(command))
program.add_typer(config, name="config", rich_help_panel=START)
program.add_typer(bench, name="bench", rich_help_panel=MEASURE)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pyfl {__version__}")
        raise typer.Exit


@program.callback()
def _pyfl(  # pyright: ignore[reportUnusedFunction]
    _version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Federated learning of Keras models between peers, without a server.

    Begin with `pyfl demo`: six peers on this machine.
    """

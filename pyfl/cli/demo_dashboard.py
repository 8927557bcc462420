"""The dashboard of a demo: every peer serves HTTP on a port of its own, and stays after the last round until somebody ends it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pyfl.cli.output import print_json

if TYPE_CHECKING:
    from pyfl.cli.dashboard_process import DashboardProcess
    from pyfl.peer.settings import PeerSettings

__all__ = ["demo_dashboard", "say_how_to_end"]

PORT = 8501


@contextlib.contextmanager
def demo_dashboard(settings: Sequence[PeerSettings], directory: Path, as_json: bool) -> Generator[DashboardProcess]:
    """Started at once, as it waits for the peers by itself; its address is told before anything else. Raises `DashboardMissing`."""
    from pyfl.cli.dashboard_process import LOOPBACK, DashboardProcess, is_free
    from pyfl.overlay.free_port import free_ports

    port = PORT if is_free(LOOPBACK, PORT) else free_ports(1)[0]
    token = Path(settings[0].data_dir) / "http.token"
    with DashboardProcess([one.http for one in settings], token, port, log=directory / "dashboard.log") as shown:
        if as_json:
            print_json({"event": "dashboard", "url": shown.url, "pid": shown.pid})
        else:
            typer.echo(f"dashboard: {shown.url}")
        yield shown


def say_how_to_end(shown: DashboardProcess) -> None:
    """After the last round."""
    typer.echo(f"The peers stay, and {shown.url} shows them. Ctrl-C ends both.", err=True)

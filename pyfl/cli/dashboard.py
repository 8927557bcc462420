"""`pyfl dashboard`: pages in a browser that show a swarm, through any of its peers."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from pyfl.cli.data_directory import DataDir

__all__ = ["dashboard"]

UP_S = 60.0


def dashboard(
    peer: Annotated[
        list[str] | None,
        typer.Option(help="HTTP address of a peer (its `--http`); may be repeated. Default: the peer of --data-dir.", metavar="HOST:PORT"),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="http.token of any peer of the swarm. Default: that in --data-dir.", metavar="FILE")
    ] = None,
    data_dir: DataDir = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the browser finds it.")] = 8501,
    host: Annotated[str, typer.Option(help="0.0.0.0: also for other machines. Whoever opens it sees the swarm.")] = "127.0.0.1",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
) -> None:
    """The swarm in a browser: who does what, how it learns, and pictures to ask it about. Ctrl-C ends it."""
    from pyfl.cli.dashboard_process import DashboardProcess, require_dashboard

    require_dashboard()
    peers, token = _whom(tuple(peer or ()), token_file, data_dir)
    with DashboardProcess(peers, token, port, host) as running:
        signal.signal(signal.SIGTERM, _terminated)
        if running.wait_until_up(UP_S):
            typer.echo(f"dashboard: {running.url}")
            if not peers:
                typer.echo("It asks for the address of a peer: none runs here, and none was given with --peer.", err=True)
            if not no_browser and _can_show():
                import webbrowser

                webbrowser.open(running.url)
        raise typer.Exit(running.wait())


def _whom(peers: tuple[str, ...], token_file: Path | None, data_dir: Path | None) -> tuple[tuple[str, ...], Path | None]:
    """Addresses and token: as given, else those of the peer that runs here."""
    from pyfl.cli.data_directory import find_data_dir
    from pyfl.errors import DashboardMissing, NoPeerRunning
    from pyfl.serving.client import PeerClient

    if peers and (token_file is not None or data_dir is None):
        return peers, token_file
    try:
        home = find_data_dir(data_dir)
        token = token_file or home / "http.token"
        if peers:
            return peers, token
        with PeerClient(home) as client:
            address = client.status().http
    except NoPeerRunning:
        if data_dir is not None:
            raise
        return (), token_file  # the page asks
    if not address:
        raise DashboardMissing(f"The peer in {home} answers on its Unix socket alone. Start it with `--http 7780`.")
    return (address,), token


def _can_show() -> bool:
    """Somebody sits here, and a browser of theirs has a screen."""
    screen = sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return screen and sys.stdout.isatty()


def _terminated(number: int, _: FrameType | None) -> None:
    raise typer.Exit(128 + number)

"""`pyfl watch`: a running swarm as one of its peers sees it, until the run ends."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Generator
from typing import TYPE_CHECKING

import typer

from pyfl.cli.data_directory import DataDir, find_data_dir
from pyfl.cli.observe import AsJson

if TYPE_CHECKING:
    from pathlib import Path

    from pyfl.cli.attached import Attached
    from pyfl.cli.watch_views import WatchView
    from pyfl.events import Stamped
    from pyfl.serving.client import PeerClient

__all__ = ["watch"]

LOOK_S = 0.5
"""What others do causes no event at the peer that is asked, so it is asked as often as a viewer would notice."""


def watch(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Watch a running swarm through one of its peers, until the run ends."""
    from pyfl.cli.attached import Attached
    from pyfl.cli.watch_views import choose_view
    from pyfl.serving.client import PeerClient

    place = find_data_dir(data_dir)
    with PeerClient(place) as client:
        status, remembered = client.status(), client.events()
        swarm = Attached(time.monotonic() - status.uptime_s)
        swarm.remember(client.rounds())
        peers = client.peers()
        swarm.look(status, peers)
        with choose_view(swarm, status, peers, as_json) as view, _following(place, remembered[-1].id if remembered else 0) as told:
            _until_it_ends(client, swarm, view, told)
            view.finish()
    if not swarm.over():
        typer.echo(f"The peer in {place} ended before the run did.", err=True)
        raise typer.Exit(1)


def _until_it_ends(client: PeerClient, swarm: Attached, view: WatchView, told: queue.Queue[Stamped | Exception | None]) -> None:
    from pyfl.errors import NoPeerRunning

    next_look = time.monotonic() + LOOK_S
    while not swarm.finished:
        with contextlib.suppress(queue.Empty):
            happened = told.get(timeout=max(0.0, next_look - time.monotonic()))
            if happened is None:
                return
            if isinstance(happened, Exception):
                raise happened
            view.event(happened, swarm.apply(happened))
        if time.monotonic() >= next_look:
            with contextlib.suppress(NoPeerRunning):  # it is ending, and its last events are on their way
                now, peers = client.status(), client.peers()
                if swarm.look(now, peers):
                    view.peers_changed(peers)
            next_look = time.monotonic() + LOOK_S


@contextlib.contextmanager
def _following(place: Path, last: int) -> Generator[queue.Queue[Stamped | Exception | None]]:
    """The peer's events after `last`, as they happen; None when it has ended, an error when it cannot be followed."""
    from pyfl.errors import PyflError
    from pyfl.serving.client import PeerClient

    told: queue.Queue[Stamped | Exception | None] = queue.Queue()

    def follow() -> None:
        try:
            with PeerClient(place) as client:
                for event in client.follow(last):
                    told.put(event)
        except PyflError as error:
            told.put(error)
        else:
            told.put(None)

    # A daemon: it listens until the peer ends, which is longer than somebody looks who presses Ctrl-C.
    threading.Thread(target=follow, name="pyfl-watch", daemon=True).start()
    yield told

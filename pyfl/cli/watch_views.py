"""The three ways to watch a running swarm: a live view in a terminal, plain lines on a pipe, JSON lines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Sequence
from typing import Protocol

import typer

from pyfl import events
from pyfl.cli.attached import Attached
from pyfl.cli.live_view import draw, learners, round_row
from pyfl.cli.output import print_json, to_people
from pyfl.events import RoundCommitted, Stamped
from pyfl.peer.status import PeerEntry, Status

__all__ = ["WatchView", "choose_view"]

# What an onlooker is told one line at a time; `pyfl events --follow` tells everything.
TOLD = (
    events.PeerJoined, events.PeerLeft, events.PeerRemoved, events.CoordinatorChanged, events.LinkAccused, events.LinkRouted,
    events.Waiting, events.FaultSeen, events.RunFinished,
)  # fmt: skip


class WatchView(Protocol):
    """Told of everything after the model was."""

    def event(self, stamped: Stamped, commit: RoundCommitted | None) -> None:
        """The peer told something; `commit`: and it is a round that was not known to be committed."""
        ...

    def peers_changed(self, peers: Sequence[PeerEntry]) -> None:
        """Peers came or went."""
        ...

    def finish(self) -> None:
        """The run, or the peer, has ended."""
        ...


@contextlib.contextmanager
def choose_view(swarm: Attached, status: Status, peers: Sequence[PeerEntry], as_json: bool) -> Generator[WatchView]:
    """The view that fits where stdout goes."""
    if as_json:
        yield _JsonLines(swarm, status, peers)
        return
    console = to_people()
    if not console.is_terminal:
        yield _PlainLines(swarm, status)
        return

    from rich.live import Live

    def picture() -> object:
        return draw(swarm.model, status.app or "together", time.monotonic() - swarm.began, console.height, console.width)

    with Live(get_renderable=picture, console=console, refresh_per_second=8):  # type: ignore[arg-type]
        yield _LiveView()
    console.print(f" {_last_words(swarm)}", markup=False, style="bold")


class _JsonLines:
    def __init__(self, swarm: Attached, status: Status, peers: Sequence[PeerEntry]) -> None:
        self._swarm = swarm
        print_json({"event": "swarm", "status": status, "peers": peers})

    def event(self, stamped: Stamped, commit: RoundCommitted | None) -> None:  # noqa: ARG002 - the event itself says so
        print_json(
            {
                "event": type(stamped.data).__struct_config__.tag, "id": stamped.id, "time": stamped.time,
                "monotonic": stamped.monotonic, "peer": stamped.peer, "data": stamped.data,
            }
        )  # fmt: skip

    def peers_changed(self, peers: Sequence[PeerEntry]) -> None:
        print_json({"event": "peers", "peers": peers})

    def finish(self) -> None:
        model = self._swarm.model
        print_json(
            {
                "event": "summary", "run_over": self._swarm.over(), "rounds": len(model.trained_rounds()), "of": model.rounds,
                "accuracy": model.accuracies()[-1] if model.accuracies() else None,
            }
        )  # fmt: skip


class _PlainLines:
    def __init__(self, swarm: Attached, status: Status) -> None:
        self._swarm = swarm
        model = swarm.model
        typer.echo(f"{learners(model)} {status.app or 'nothing yet'}: {', '.join(model.names)}")
        for event in model.trained_rounds():
            typer.echo(round_row(model, event.round))

    def event(self, stamped: Stamped, commit: RoundCommitted | None) -> None:
        if commit is not None and commit.round > 0:
            typer.echo(round_row(self._swarm.model, commit.round))
        elif isinstance(stamped.data, TOLD):
            typer.echo(self._swarm.model.narrator.sentence(stamped.data))

    def peers_changed(self, peers: Sequence[PeerEntry]) -> None:
        """Their coming and going are events."""

    def finish(self) -> None:
        typer.echo(_last_words(self._swarm))


class _LiveView:
    def event(self, stamped: Stamped, commit: RoundCommitted | None) -> None:
        """Drawn from the model."""

    def peers_changed(self, peers: Sequence[PeerEntry]) -> None:
        """Drawn from the model."""

    def finish(self) -> None:
        """The last picture stays."""


def _last_words(swarm: Attached) -> str:
    model = swarm.model
    newest = max(model.committed, default=0)
    accuracy = f", accuracy {model.accuracies()[-1]:.4f}" if model.accuracies() else ""
    return f"{'the run is over' if swarm.over() else 'the run goes on'}: round {newest} of {model.rounds}{accuracy}"

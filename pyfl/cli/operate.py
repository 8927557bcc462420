"""`pyfl pause`, `resume`, `kick`, `leave`, `stop`: asked of a running peer."""

from __future__ import annotations

from typing import Annotated

import typer

from pyfl.cli.data_directory import DataDir, find_data_dir

__all__ = ["kick", "leave", "pause", "resume", "stop"]


def pause(data_dir: DataDir = None) -> None:
    """Pause the swarm's training at the next round."""
    _ask(data_dir, "pause")


def resume(data_dir: DataDir = None) -> None:
    """Let a paused swarm go on."""
    _ask(data_dir, "resume")


def kick(peer: Annotated[str, typer.Argument(help="Its name or id.", metavar="PEER")], data_dir: DataDir = None) -> None:
    """Remove a peer from the swarm."""
    _ask(data_dir, "kick", peer)


def leave(data_dir: DataDir = None) -> None:
    """Let one peer leave the swarm, which goes on without it."""
    _ask(data_dir, "leave")


def stop(data_dir: DataDir = None) -> None:
    """End the run of the whole swarm after the present round."""
    _ask(data_dir, "stop")


def _ask(data_dir: DataDir, command: str, argument: str = "") -> None:
    from pyfl.serving.client import PeerClient

    with PeerClient(find_data_dir(data_dir)) as client:
        typer.echo(client.control(command, argument))

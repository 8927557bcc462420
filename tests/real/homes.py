"""A swarm of processes with data directories of their own, of which each can be ended, recovered and started again."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pyfl import events
from pyfl.overlay.free_port import free_ports
from tests.real.programs import Program, Programs, call

__all__ = ["PEERS", "Swarm", "contributed", "digests"]

PEERS = 5


class Swarm:
    """Five peers with data directories of their own; a peer that is started again has the command it had."""

    def __init__(self, programs: Programs, directory: Path, app: str = "linear") -> None:
        self.programs, self.directory, self.ports = programs, directory, free_ports(PEERS)
        self._run = ("--app", app, "--rounds", "100000", "--min-peers", str(PEERS))

    def home(self, index: int) -> Path:
        """A peer's data directory."""
        return self.directory / f"peer-{index}"

    def start(self, index: int) -> Program:
        """Start a peer, or start it again."""
        more = (f"127.0.0.1:{self.ports[0]}",) if index else self._run
        return self.programs.start(
            "127.0.0.1", str(self.ports[index]), *more, "--data-dir", str(self.home(index)), "--heartbeat-ms", "500", "--index", str(index),
            "--of", str(PEERS),
        )  # fmt: skip

    def recover(self, index: int, *more: str) -> subprocess.CompletedProcess[str]:
        """`pyfl recover` on a peer's data directory."""
        return call(self.directory, self.home(index), "recover", *more)


def digests(*peers: Program) -> dict[int, str]:
    """Every committed round that these saw, and its one digest."""
    seen: dict[int, str] = {}
    for peer in peers:
        for event in peer.said(events.RoundCommitted):
            assert isinstance(event.data, events.RoundCommitted)
            assert seen.setdefault(event.data.round, event.data.digest) == event.data.digest, f"I1: round {event.data.round}"
    return seen


def contributed(peer: Program, among: Program, after: int) -> bool:
    """`among` saw a round later than `after` to which `peer` contributed what it trained in this life.

    A round that was under way when its life before ended may be committed later, with what that life had trained.
    """
    trained = {e.data.round for e in peer.said(events.TrainingEnded) if isinstance(e.data, events.TrainingEnded)}
    return any(
        isinstance(e.data, events.RoundCommitted)
        and e.data.round > after
        and e.data.round in trained
        and peer.events[0].peer in e.data.contributors
        for e in among.events
    )

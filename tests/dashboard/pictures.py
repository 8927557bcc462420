"""Pictures of a played swarm, without sockets: what the follower would have made of it."""

from __future__ import annotations

import msgspec

from pyfl.peer.status import Local, PeerEntry
from streamlit_app.connection.memory import Memory
from streamlit_app.connection.picture import Link, Picture
from tests.dashboard.fake_swarm import FakeSwarm

__all__ = ["look", "remember"]


def remember(memory: Memory, swarm: FakeSwarm) -> Memory:
    """Take in what the living peers of the swarm answer now."""
    asked = swarm.living()[0]
    memory.status(swarm.status(asked))
    memory.peers(msgspec.convert(swarm.entries(asked), list[PeerEntry]), swarm.now)
    memory.rounds(swarm.committed[-16:])
    for peer in swarm.living():
        memory.local(msgspec.convert(peer.local(), Local))
        memory.events(peer.id, [event for event in peer.journal if event.id > memory.last_event(peer.id)], swarm.now)
    return memory


def look(swarm: FakeSwarm, memory: Memory | None = None) -> Picture:
    """The whole picture, through a live link."""
    known = remember(memory or Memory(), swarm)
    return known.picture(Link("live", "127.0.0.1:8001", seen_at=swarm.now), swarm.now)

"""Swarms of overlays for claims that hold of every implementation: one simulated, one real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from pyfl.errors import OverlayClosed
from pyfl.overlay.protocol import Event, Leader, Overlay, PeerUp
from pyfl.overlay.simulated import NetworkOptions, SimulatedNetwork, SimulatedOverlay

if TYPE_CHECKING:
    from collections.abc import Callable

E = TypeVar("E")
LIMIT_S = 60.0


@dataclass(eq=False)
class Peer:
    """A peer of a swarm and the events it has been given so far."""

    overlay: Overlay
    events: list[Event] = field(default_factory=list)

    @property
    def me(self) -> str:
        return self.overlay.me

    def of(self, kind: type[E]) -> list[E]:
        """Pick the events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]


class Victim(Protocol):
    """A peer that can be killed as by kill -9. It only reads its events."""

    @property
    def me(self) -> str: ...


class Swarm(Protocol):
    """Starts overlays and lets them live until an event comes."""

    def add(self, *, found: bool = False, eligible: bool = True) -> Peer:
        """Start one more overlay, which joins the others."""
        ...

    def add_victim(self, *, found: bool = False) -> Victim:
        """Start an overlay in a process of its own, eligible."""
        ...

    def kill(self, victim: Victim) -> None: ...

    def until(self, peer: Peer, condition: Callable[[], bool]) -> bool:
        """Feed `peer.events` until the condition holds; False if it never does."""
        ...

    def close(self) -> None: ...


def wait(swarm: Swarm, peer: Peer, kind: type[E], where: Callable[[E], bool] = lambda event: True) -> E:
    """Find the first event of a kind that fits, waiting for it if need be."""

    def found() -> E | None:
        return next((event for event in peer.events if isinstance(event, kind) and where(event)), None)

    assert swarm.until(peer, lambda: found() is not None), f"no such {kind.__name__} came; got {peer.events}"
    event = found()
    assert event is not None
    return event


def start(swarm: Swarm, count: int, *, eligible: int | None = None) -> list[Peer]:
    """Start peers that all know each other; the first founds and leads, the first `eligible` may vote."""
    peers = [swarm.add(found=k == 0, eligible=eligible is None or k < eligible) for k in range(count)]
    meet(swarm, peers)
    wait(swarm, peers[0], Leader, lambda event: event.me)
    return peers


def meet(swarm: Swarm, peers: list[Peer], *others: Victim) -> None:
    """Wait until each of the peers knows all the rest."""
    ids = [*(peer.me for peer in peers), *(other.me for other in others)]
    for peer in peers:
        for other in ids:
            if other != peer.me:
                wait(swarm, peer, PeerUp, lambda event, other=other: event.peer == other)


class SimulatedSwarm:
    """Overlays of one simulated network that breaks nothing on its own."""

    def __init__(self, seed: int) -> None:
        self.network = SimulatedNetwork(seed, options=NetworkOptions(refused_probability=1.0, stall_probability=0.0, write_timeout_s=10.0))
        self._peers: list[Peer] = []

    def add(self, *, found: bool = False, eligible: bool = True) -> Peer:
        overlay = self.network.add_peer(found=found)
        overlay.announce(b"", eligible)
        peer = Peer(overlay)
        self._peers.append(peer)
        return peer

    def add_victim(self, *, found: bool = False) -> SimulatedOverlay:
        overlay = self.network.add_peer(found=found)
        overlay.announce(b"", eligible=True)
        return overlay

    def kill(self, victim: Victim) -> None:
        self.network.kill(victim.me)

    def until(self, peer: Peer, condition: Callable[[], bool]) -> bool:
        def met() -> bool:
            for each in self._peers:
                drain(each)
            return condition()

        return self.network.run(until=self.network.now + LIMIT_S, stop=met)

    def close(self) -> None:
        for peer in self._peers:
            peer.overlay.close()


class RealProcess:
    """A real overlay in a process of its own."""

    def __init__(self, config: dict[str, object]) -> None:
        program = Path(__file__).parent / "victim.py"
        self.process = subprocess.Popen(
            [sys.executable, str(program), json.dumps(config)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.kill()
            raise AssertionError("the peer's process ended before it was up; what it printed says why")
        self.me, self.address = line.split()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class RealSwarm:
    """Real overlays on this machine, on ports of their own choosing, with memory for a disk."""

    def __init__(self, open_overlay: Callable[[dict[str, object]], Overlay]) -> None:
        self._open = open_overlay
        self._peers: list[Peer] = []
        self._victims: list[RealProcess] = []
        self._address = ""

    def _config(self, found: bool) -> dict[str, object]:
        return {
            "listen": "127.0.0.1:0",
            "swarm_key": "5a" * 32,
            "found": found,
            "join": [self._address] if self._address else [],
            "heartbeat_ms": 1000,
        }

    def add(self, *, found: bool = False, eligible: bool = True) -> Peer:
        peer = Peer(self._open(self._config(found)))
        self._peers.append(peer)
        self._address = self._address or peer.overlay.address
        peer.overlay.announce(b"", eligible)
        return peer

    def add_victim(self, *, found: bool = False) -> RealProcess:
        victim = RealProcess(self._config(found))
        self._victims.append(victim)
        self._address = self._address or victim.address
        return victim

    def kill(self, victim: Victim) -> None:
        assert isinstance(victim, RealProcess)
        self._victims.remove(victim)
        victim.kill()

    def until(self, peer: Peer, condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            if time.monotonic() > deadline:
                return False
            for other in self._peers:
                if other is not peer:
                    drain(other)
            event = peer.overlay.next_event(0.1)
            if event is not None:
                peer.events.append(event)
        return True

    def close(self) -> None:
        for victim in self._victims:
            victim.kill()
        for peer in self._peers:
            peer.overlay.close()


def drain(peer: Peer) -> None:
    """Take the events that are there."""
    try:
        while (event := peer.overlay.next_event(0.0)) is not None:
            peer.events.append(event)
    except OverlayClosed:
        return

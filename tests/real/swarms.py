"""Real swarms on loopback for the tests: settings, and what their events say."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from pyfl import events
from pyfl.apps.onehot import read_probes
from pyfl.events import Stamped
from pyfl.overlay.free_port import free_ports
from pyfl.peer.settings import PeerSettings
from pyfl.peer.swarm_key import write_secret
from tests.real.programs import Program

__all__ = ["Story", "check_probes", "check_sum", "models", "settings_for", "story_of"]


def settings_for(directory: Path, peers: int, app: str, rounds: int, **more: object) -> list[PeerSettings]:
    """A founder and its joiners, which know only the founder; `more`: settings of all."""
    key = directory / "swarm.key"
    if not key.exists():
        write_secret(key, secrets.token_hex(32))
    ports = free_ports(peers)
    common: dict[str, object] = {"swarm_key": str(key), "of": peers, "app": app, **more}
    result: list[PeerSettings] = []
    for index, port in enumerate(ports):
        own: dict[str, object] = {
            "listen": f"127.0.0.1:{port}", "name": f"peer-{index}", "index": index, "data_dir": str(directory / f"peer-{index}")
        }  # fmt: skip
        if index == 0:
            own |= {"rounds": rounds, "min_peers": more.get("min_peers", peers)}
        else:
            own |= {"join": (f"127.0.0.1:{ports[0]}",), "min_peers": None}
        result.append(PeerSettings(**{**common, **own}))  # type: ignore[arg-type]
    return result


@dataclass
class Story:
    """What a swarm's events told so far."""

    ids: dict[int, str] = field(default_factory=dict[int, str])
    committed: dict[int, events.RoundCommitted] = field(default_factory=dict[int, events.RoundCommitted])
    installed: dict[int, dict[int, str]] = field(default_factory=dict[int, dict[int, str]])
    """Digests by round and peer index."""
    coordinator: str = ""
    reducing: dict[int, int] = field(default_factory=dict[int, int])
    """The last round whose reduce each peer began."""
    held: dict[int, int] = field(default_factory=dict[int, int])

    def take(self, index: int, event: Stamped) -> None:
        """Take one event in."""
        self.ids[index] = event.peer
        data = event.data
        match data:
            case events.RoundCommitted():
                before = self.committed.setdefault(data.round, data)
                assert (before.digest, before.contributors) == (data.digest, data.contributors), f"round {data.round} was committed twice"
            case events.ModelInstalled():
                self.installed.setdefault(data.round, {})[index] = data.digest
            case events.CoordinatorChanged():
                self.coordinator = data.coordinator or self.coordinator
            case events.ReduceStarted():
                self.reducing[index] = data.round
            case events.ResultHeld():
                self.held[index] = data.round
            case _:
                pass

    def index_of(self, peer: str) -> int:
        """A peer's index from its id."""
        return next(index for index, known in self.ids.items() if known == peer)

    def check_digests(self) -> None:
        """I1: one model a round."""
        for number, digests in self.installed.items():
            assert len(set(digests.values())) == 1, f"I1: round {number} has {digests}"


def story_of(lives: Iterable[tuple[int, Program]]) -> Story:
    """What these told, each under its peer's index."""
    story = Story()
    for index, program in lives:
        for event in program.events:
            story.take(index, event)
    return story


def models(directory: Path) -> dict[int, np.ndarray]:
    """Every committed model that any peer has on disk, by round."""
    found: dict[int, np.ndarray] = {}
    for path in sorted(directory.glob("peer-*/checkpoints/round-*.safetensors")):
        number = int(path.stem.split("-")[1])
        if number not in found:
            found[number] = load_file(path)["model"]
    return found


def check_probes(directory: Path, story: Story, stride: int, peers: int) -> int:
    """I3 for every pair of successive models of `onehot` on disk; returns how many pairs there were."""
    known = models(directory)
    pairs = 0
    for number in sorted(known):
        if number - 1 not in known or number not in story.committed:
            continue
        counted = read_probes(known[number] - known[number - 1], stride, peers)
        committed = story.committed[number]
        listed = {story.index_of(peer) for peer in committed.contributors}
        brought = {story.index_of(peer) for peer in committed.residuals}  # with an older update in their own
        expected = [((index in listed) + (index in brought)) / len(listed) if listed else 0.0 for index in range(peers)]
        assert np.allclose(counted, expected, atol=1e-5), f"I3: round {number} lists {sorted(listed)}, and counts {counted}"
        pairs += 1
    return pairs


def check_sum(directory: Path, story: Story, stride: int, peers: int) -> None:
    """I3 for a whole run of `onehot`: the newest model on disk is the sum of what every round lists, and no round is missing."""
    known = models(directory)
    last = max(known)
    expected = np.zeros(peers)
    for number in range(1, last + 1):
        committed = story.committed[number]
        for peer in (*committed.contributors, *committed.residuals):
            expected[story.index_of(peer)] += 1 / len(committed.contributors)
    counted = read_probes(known[last], stride, peers)
    assert np.allclose(counted, expected, atol=1e-3), f"I3: the rounds up to {last} list {expected}, and the model counts {counted}"

"""How joiners get in: many real peers join a running swarm at once, and the committed rounds say when each first contributed."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median

from pyfl import events
from pyfl.errors import BenchFailed
from pyfl.events import Stamped
from pyfl.peer.bench import WARM_UP_ROUNDS, bench_settings
from pyfl.peer.herd import Herd

__all__ = ["WITHIN", "join"]

WITHIN = 3
"""In so many rounds a joiner contributes, the first that opens while it is a member included."""
PATIENCE = 10  # rounds that open while the last joiner is a member: who has not contributed then is told as such
ROUNDS = 1000  # the swarm is ended before
STARTING_S = 120.0


@dataclass
class _Swarm:
    """What the peers said: the first `peers` of them, and those who joined."""

    peers: int
    joiners: range
    ids: dict[int, str] = field(default_factory=dict[int, str])
    member: dict[str, float] = field(default_factory=dict[str, float])
    """When one of the first peers knew of a peer."""
    opened: dict[int, float] = field(default_factory=dict[int, float])
    committed: dict[int, float] = field(default_factory=dict[int, float])
    contributed: dict[str, int] = field(default_factory=dict[str, int])
    """The first committed round that has a peer among its contributors."""
    fetched: dict[int, float] = field(default_factory=dict[int, float])
    """When each had its first model that is not the run's initial one."""
    installed: dict[int, set[int]] = field(default_factory=dict[int, set[int]])
    digests: dict[int, set[str]] = field(default_factory=dict[int, set[str]])
    used: dict[int, events.ResourcesUsed] = field(default_factory=dict[int, events.ResourcesUsed])

    def take(self, index: int, event: Stamped) -> None:
        """Note what an event says."""
        data, at = event.data, event.monotonic
        self.ids[index] = event.peer
        match data:
            case events.PeerJoined() if index < self.peers:
                self.member[data.peer] = min(at, self.member.get(data.peer, at))
            case events.RoundOpened():
                self.opened[data.round] = min(at, self.opened.get(data.round, at))
            case events.RoundCommitted():
                self.committed[data.round] = min(at, self.committed.get(data.round, at))
                for peer in data.contributors:
                    self.contributed[peer] = min(data.round, self.contributed.get(peer, data.round))
            case events.ModelInstalled() if data.round > 0:
                self.fetched.setdefault(index, at)
                self.installed.setdefault(data.round, set()).add(index)
                self.digests.setdefault(data.round, set()).add(data.digest)
            case events.ResourcesUsed():
                self.used[index] = data
            case _:
                pass

    @property
    def ended(self) -> bool:
        """Every joiner has contributed, and everyone holds that or a later model; or there were rounds enough."""
        firsts = [self.contributed.get(self.ids.get(index, "")) for index in self.joiners]
        known = [number for number in firsts if number is not None]
        if len(known) == len(self.joiners):
            return any(number >= max(known) and len(held) == self.joiners.stop for number, held in self.installed.items())
        members = [self.member.get(self.ids.get(index, "")) for index in self.joiners]
        since = [at for at in members if at is not None]
        return len(since) == len(self.joiners) and sum(at > max(since) for at in self.opened.values()) > PATIENCE

    def joined(self, index: int, started: float) -> dict[str, object]:
        """One joiner, in seconds from its start."""
        peer = self.ids[index]
        member, number = self.member[peer], self.contributed.get(peer)
        first = 1 + max(number for number, at in self.opened.items() if at <= member)

        def since(at: float | None) -> float | None:
            return None if at is None else round(at - started, 3)

        return {
            "event": "joiner",
            "joiner": f"peer-{index}",
            "member_s": since(member),
            "model_s": since(self.fetched.get(index)),
            "contribution_s": None if number is None else since(self.committed[number]),
            "first_round": first,
            "contributed_round": number,
            "rounds": None if number is None else number - first + 1,
        }


def join(peers: int, joiners: int, mb: float, train_s: float = 2.5, tiers: str = "rotated:4") -> Iterator[dict[str, object]]:
    """JSON-able events: one a joiner, the last a summary. Sizes in 10^6 bytes, times in seconds; memory in MiB. Raises `BenchFailed`.

    All joiners are started at once when the swarm has committed its warm-up rounds, and are told the same address.
    """
    swarm, started = _Swarm(peers, range(peers, peers + joiners)), dict[int, float]()
    app = f"onehot:size={round(mb * 1e6)}B,train_s={train_s:g}"
    with tempfile.TemporaryDirectory(prefix="pyfl-bench-") as directory:
        settings = bench_settings(Path(directory), app, peers, ROUNDS, joiners=joiners, tiers=tiers)
        limit = STARTING_S + (WARM_UP_ROUNDS + PATIENCE + WITHIN) * (5.0 + train_s + (peers + joiners) * mb / 20)
        with Herd(settings[:peers], framework=False) as herd:
            for item in herd.events(limit):
                if any(herd.endings) or swarm.ended:
                    break
                if item is None:
                    continue
                swarm.take(*item)
                if not started and WARM_UP_ROUNDS in swarm.committed:
                    for index in swarm.joiners:
                        started[index] = time.monotonic()
                        herd.start(settings[index])
            failed = [f"peer {index}: {ending.why}" for index, ending in enumerate(herd.endings) if ending]
    if failed or not swarm.ended:
        known = sum(swarm.ids.get(index) in swarm.contributed for index in swarm.joiners)
        raise BenchFailed(f"{known} of {joiners} joiners contributed. {' '.join(failed) or f'It was not done in {limit:.0f} s.'}")
    found = [swarm.joined(index, started[index]) for index in swarm.joiners]
    yield from found
    yield _summary(swarm, mb, train_s, found)


def _summary(swarm: _Swarm, mb: float, train_s: float, found: list[dict[str, object]]) -> dict[str, object]:
    def numbers(name: str) -> dict[str, float] | None:
        values = [float(v) for joiner in found if isinstance(v := joiner[name], (int, float))]
        return {"median": round(median(values), 3), "max": round(max(values), 3)} if values else None

    lent = {index: use.bytes_lent for index, use in sorted(swarm.used.items())}
    holders = [lent[index] for index in range(swarm.peers)]
    return {
        "event": "summary",
        "peers": swarm.peers,
        "joiners": len(found),
        "mb": mb,
        "train_s": train_s,
        "rounds": numbers("rounds"),
        "within": all(isinstance(number := joiner["rounds"], int) and number <= WITHIN for joiner in found),
        **{name: numbers(name) for name in ("member_s", "model_s", "contribution_s")},
        "lent_bytes": holders,
        "lent_bytes_joiners": sum(lent.values()) - sum(holders),
        "lent_max_to_mean": round(max(holders) / fmean(holders), 3) if any(holders) else None,
        "rss_peak_mb_total": round(sum(use.rss_peak_bytes for use in swarm.used.values()) / 2**20),
        "rss_peak_mb_max": round(max(use.rss_peak_bytes for use in swarm.used.values()) / 2**20, 1),
        "digests_agree": all(len(digests) == 1 for digests in swarm.digests.values()),
        "cores": os.cpu_count(),
    }

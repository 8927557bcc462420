"""What a round costs without training: real peers, the full protocol with ledger, digests and commit, random float32 updates."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from pyfl import events
from pyfl.errors import BenchFailed
from pyfl.events import Stamped
from pyfl.overlay.free_port import free_ports
from pyfl.peer.herd import Herd
from pyfl.peer.settings import PeerSettings
from pyfl.peer.swarm_key import new_swarm_key, write_secret

__all__ = ["WARM_UP_ROUNDS", "allreduce", "bench_settings", "noise", "spread"]

WARM_UP_ROUNDS = 2  # connections, page faults of the buffers


class _Round:
    """One round over all peers: from the moment the last update was there until the last peer held the commit."""

    def __init__(self) -> None:
        self.ready: dict[int, float] = {}
        self.installed: dict[int, float] = {}
        self.digests: set[str] = set()

    def seconds(self, peers: int) -> float | None:
        """Its length, once every peer has been through it."""
        if len(self.ready) < peers or len(self.installed) < peers:
            return None
        return max(self.installed.values()) - max(self.ready.values())


def allreduce(
    peers: int, mb: float, rounds: int, durability: str = "relaxed", tiers: str = "rotated:4", congestion: str = "cubic"
) -> Iterator[dict[str, object]]:
    """JSON-able events: one a round, the last a summary. Sizes in 10^6 bytes, times in seconds; memory in MiB. Raises `BenchFailed`."""
    total = rounds + WARM_UP_ROUNDS
    seen: dict[int, _Round] = {}
    usage: dict[int, list[events.ResourcesUsed]] = {index: [] for index in range(peers)}
    times: list[float] = []
    with tempfile.TemporaryDirectory(prefix="pyfl-bench-") as directory:
        settings = bench_settings(
            Path(directory), noise(mb), peers, total, durability=durability, tiers=tiers, congestion=congestion, min_contributors=peers
        )
        with Herd(settings, framework=False) as herd:
            for item in herd.events(60.0 + total * (5.0 + peers * mb / 20)):
                if item is None:
                    continue
                number = _take(*item, seen, usage)
                took = seen[number].seconds(peers) if number is not None and number > 0 else None
                if number is not None and took is not None:
                    times += [took] if number > WARM_UP_ROUNDS else []
                    yield {"event": "round", "round": number, "round_s": round(took, 4), "warm_up": number <= WARM_UP_ROUNDS}
            failed = [
                f"peer {index}: {e.why if e else 'it did not end in time'}" for index, e in enumerate(herd.endings) if not e or e.code
            ]
        if failed or len(times) != rounds:
            raise BenchFailed(f"{len(times)} of {rounds} rounds were measured. {' '.join(failed) or 'See the peers’ logs.'}")
    yield _summary(peers, mb, total, seen, usage, times)


def noise(mb: float) -> str:
    """The app that trains random updates of `mb` 10^6 bytes and takes no longer than that."""
    return f"noise:{round(mb * 1e6)}B"


def bench_settings(
    directory: Path,
    app: str,
    peers: int,
    rounds: int,
    *,
    joiners: int = 0,
    durability: str = "relaxed",
    tiers: str = "rotated:4",
    congestion: str = "cubic",
    min_contributors: int = 0,
) -> list[PeerSettings]:
    """Of peers with nothing else to do, and after them `joiners` that the first round does not wait for.

    `min_contributors` 0: a majority.
    """
    key = directory / "swarm.key"
    write_secret(key, new_swarm_key())
    everyone = peers + joiners
    ports = free_ports(everyone)
    founder = PeerSettings(
        listen=f"127.0.0.1:{ports[0]}", name="peer-0", data_dir=str(directory / "peer-0"), swarm_key=str(key), index=0, of=everyone,
        app=app, rounds=rounds, min_peers=peers, min_contributors=min_contributors, durability=durability,
        tiers=tiers, congestion=congestion, serve=False, checkpoints=False, measure=True,
    )  # fmt: skip
    return [founder] + [
        PeerSettings(
            listen=f"127.0.0.1:{ports[index]}", name=f"peer-{index}", data_dir=str(directory / f"peer-{index}"), swarm_key=str(key),
            index=index, of=everyone, app=app, join=(founder.listen,), durability=durability, congestion=congestion, serve=False,
            checkpoints=False, measure=True,
        )
        for index in range(1, everyone)
    ]  # fmt: skip


def _take(index: int, event: Stamped, seen: dict[int, _Round], usage: dict[int, list[events.ResourcesUsed]]) -> int | None:
    """Note what an event says; returns the round that it belongs to."""
    data = event.data
    match data:
        case events.TrainingEnded():
            seen.setdefault(data.round, _Round()).ready[index] = event.monotonic
        case events.ModelInstalled():
            at = seen.setdefault(data.round, _Round())
            at.installed[index] = event.monotonic
            at.digests.add(data.digest)
        case events.ResourcesUsed():
            usage[index].append(data)
            return None
        case _:
            return None
    return data.round


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most of at least one value."""
    return {"median": round(median(values), 4), "min": round(min(values), 4), "max": round(max(values), 4)}


def _summary(
    peers: int, mb: float, total: int, seen: dict[int, _Round], usage: dict[int, list[events.ResourcesUsed]], times: list[float]
) -> dict[str, object]:
    def per_round(name: str) -> list[float]:
        """What each peer used in the measured rounds, per round."""
        result: list[float] = []
        for uses in usage.values():
            known = {use.round: getattr(use, name) for use in uses}
            result.append((known[total] - known[WARM_UP_ROUNDS]) / (total - WARM_UP_ROUNDS))
        return result

    sent = per_round("bytes_sent")
    last = [uses[-1] for uses in usage.values()]
    return {
        "event": "summary",
        "peers": peers,
        "mb": mb,
        "round_s": spread(times),
        "sent_bytes_max_peer": round(max(sent)),
        "sent_bytes_total": round(sum(sent)),
        "rss_peak_mb_max": round(max(use.rss_peak_bytes for use in last) / 2**20, 1),
        "rss_base_mb": round(max(uses[0].rss_base_bytes for uses in usage.values()) / 2**20, 1),
        "cpu_s": round(sum(per_round("cpu_s")), 3),
        "digests_agree": all(len(r.digests) == 1 for number, r in seen.items() if number >= 0),
        "congestion_control": ", ".join(sorted({use.congestion_control for use in last})),
        "cores": os.cpu_count(),
    }

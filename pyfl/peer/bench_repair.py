"""What a death in the reduce costs: one of several real peers is killed while segments move, and the survivors' commit is timed."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from pyfl import events
from pyfl.errors import BenchFailed
from pyfl.events import Stamped
from pyfl.peer.bench import WARM_UP_ROUNDS, bench_settings, noise, spread
from pyfl.peer.herd import Herd

__all__ = ["repair"]

CLEAN_ROUNDS = 3
KILLED = WARM_UP_ROUNDS + CLEAN_ROUNDS + 1
LATEST = 0.6  # of a clean reduce: how long after it began to send the last victim is killed


@dataclass
class _Swarm:
    """What the peers of one swarm said, by peer."""

    peers: int
    ready: dict[int, dict[int, float]] = field(default_factory=dict[int, dict[int, float]])
    reducing: dict[int, dict[int, float]] = field(default_factory=dict[int, dict[int, float]])
    """When each began the newest epoch's reduce of a round."""
    holding: dict[int, dict[int, float]] = field(default_factory=dict[int, dict[int, float]])
    installed: dict[int, dict[int, float]] = field(default_factory=dict[int, dict[int, float]])
    sent: dict[int, dict[int, int]] = field(default_factory=dict[int, dict[int, int]])
    digests: dict[int, set[str]] = field(default_factory=dict[int, set[str]])
    removed: float = 0.0
    elected: float = 0.0
    epoch: int = 0
    contributors: int = 0
    leader: int = -1

    def take(self, index: int, event: Stamped) -> None:
        """Note what an event says."""
        data, at = event.data, event.monotonic
        match data:
            case events.TrainingEnded():
                self.ready.setdefault(data.round, {})[index] = at
            case events.ReduceStarted():
                self.reducing.setdefault(data.round, {})[index] = at
            case events.ResultHeld():
                self.holding.setdefault(data.round, {})[index] = at
            case events.ModelInstalled():
                self.installed.setdefault(data.round, {})[index] = at
                self.digests.setdefault(data.round, set()).add(data.digest)
            case events.ResourcesUsed():
                self.sent.setdefault(data.round, {})[index] = data.bytes_sent
            case events.PeerRemoved() if data.round == KILLED:
                self.removed = self.removed or at
            case events.RoundCommitted() if data.round == KILLED:
                self.epoch, self.contributors = data.epoch, len(data.contributors)
            case events.CoordinatorChanged() if data.me:
                self.leader, self.elected = index, at
            case _:
                pass

    def clean(self) -> list[float]:
        """Seconds that each round without a death took, from the last update to the last peer's commit."""
        rounds = range(WARM_UP_ROUNDS + 1, KILLED)
        return [max(self.installed[r].values()) - max(self.ready[r].values()) for r in rounds]

    def sent_by(self, survivors: set[int], number: int) -> int:
        """Bytes that the survivors sent in a round."""
        return sum(self.sent[number][p] - self.sent[number - 1][p] for p in survivors)


def repair(
    peers: int, mb: float, kills: int, *, coordinator: bool = False, tiers: str = "rotated:4", seed: int = 0
) -> Iterator[dict[str, object]]:
    """JSON-able events: one a kill, the last a summary. Sizes in 10^6 bytes, times in seconds. Raises `BenchFailed`.

    Each kill is one swarm's: its clean rounds are what its repair is compared with. The moments are spread over the first
    `LATEST` of a reduce. `coordinator`: the coordinator is the victim, else a member that is not.
    """
    found: list[dict[str, object]] = []
    rng = random.Random(f"kills {seed}")  # noqa: S311 - which peer dies, to be repeated
    for number in range(kills):
        late = LATEST * number / max(1, kills - 1)
        with tempfile.TemporaryDirectory(prefix="pyfl-bench-") as directory:
            found.append(_one(Path(directory), number + 1, peers, mb, tiers, late, coordinator=coordinator, rng=rng))
        yield found[-1]
    yield _summary(peers, mb, coordinator=coordinator, found=found)


def _one(
    directory: Path, number: int, peers: int, mb: float, tiers: str, late: float, *, coordinator: bool, rng: random.Random
) -> dict[str, object]:
    """One swarm, one kill."""
    swarm, victim, killed_at = _Swarm(peers), -1, 0.0
    settings = bench_settings(directory, noise(mb), peers, KILLED, tiers=tiers)
    with Herd(settings, framework=False) as herd:
        for item in herd.events(90.0 + KILLED * (5.0 + peers * mb / 20)):
            if item is None:
                continue
            swarm.take(*item)
            if victim < 0 and swarm.leader >= 0:
                victim = swarm.leader if coordinator else rng.choice([p for p in range(peers) if p != swarm.leader])
            if coordinator and not killed_at:
                victim = swarm.leader
            if not killed_at and victim in swarm.reducing.get(KILLED, {}):
                lately = median(max(swarm.holding[r].values()) - max(swarm.reducing[r].values()) for r in range(WARM_UP_ROUNDS + 1, KILLED))
                # the moment of the kill is the experiment's own choice
                time.sleep(max(0.0, swarm.reducing[KILLED][victim] + late * lately - time.monotonic()))
                herd.kill(victim)
                killed_at = time.monotonic()
        failed = [
            f"peer {i}: {e.why if e else 'it did not end in time'}" for i, e in enumerate(herd.endings) if i != victim and (not e or e.code)
        ]
    survivors = set(range(peers)) - {victim}
    if failed or not killed_at or not survivors <= swarm.installed.get(KILLED, {}).keys():
        raise BenchFailed(f"Kill {number} was not survived by all. {' '.join(failed) or 'See the peers’ logs.'}")
    clean, held = median(swarm.clean()), swarm.holding[KILLED]
    repaired = max(swarm.installed[KILLED][p] for p in survivors) - killed_at

    def since(at: float) -> float | None:
        return round(at - killed_at, 4) if at > killed_at else None

    return {
        "event": "kill",
        "kill": number,
        "clean_s": round(clean, 4),
        "late_s": round(killed_at - swarm.reducing[KILLED].get(victim, killed_at), 4),
        "detect_s": since(swarm.removed),
        "elected_s": since(swarm.elected) if coordinator else None,
        "again_s": since(max(swarm.reducing[KILLED][p] for p in survivors)),
        "held_s": since(max(held[p] for p in survivors)),
        "repair_s": round(repaired, 4),
        "within": repaired <= (8.0 if coordinator else 1.5 * clean + 2.0),
        "epoch": swarm.epoch,
        "contributors": swarm.contributors,
        "sent": round(swarm.sent_by(survivors, KILLED) / swarm.sent_by(survivors, KILLED - 1), 3),
        "digests_agree": all(len(d) == 1 for n, d in swarm.digests.items() if n >= 0),
    }


def _summary(peers: int, mb: float, *, coordinator: bool, found: list[dict[str, object]]) -> dict[str, object]:
    def numbers(name: str) -> dict[str, float] | None:
        values = [float(v) for kill in found if isinstance(v := kill[name], (int, float))]
        return spread(values) if values else None

    clean, repaired = numbers("clean_s"), numbers("repair_s")
    limit = 8.0 if coordinator or clean is None else round(1.5 * clean["median"] + 2.0, 4)
    return {
        "event": "summary",
        "peers": peers,
        "mb": mb,
        "kills": len(found),
        "victim": "coordinator" if coordinator else "member",
        **{name: numbers(name) for name in ("clean_s", "detect_s", "elected_s", "again_s", "held_s")},
        "repair_s": repaired,
        "limit_s": limit,
        "within": repaired is not None and repaired["median"] <= limit,
        "sent": numbers("sent"),
        "digests_agree": all(kill["digests_agree"] for kill in found),
        "cores": os.cpu_count(),
    }

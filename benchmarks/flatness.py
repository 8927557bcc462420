"""What a long run leaves behind: memory, descriptors, threads and goroutines of peers that live through all of it.

Six peers add up one-hot probes for as long as told while one of them, another each time but never the three that are watched, is killed
with SIGKILL and started again every `--churn` seconds: what a peer forgets to give back when others come and go shows here. Each watched
process is sampled every ten seconds into `--csv`. One JSON line a minute, and at the end the median of the last quarter beside that of the
second: the first is for caches to fill, of which the largest holds the last 10,000 events. Memory is what no file backs: resident memory
also has the ledger's file, which grows to some tens of megabytes and stays. Exit code 1 if one of them grew by more than `--most`.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from pyfl import events
from pyfl.overlay.free_port import free_ports
from pyfl.peer.herd import Herd
from pyfl.peer.resources import anonymous_bytes, open_files, resident_bytes, threads
from pyfl.peer.settings import PeerSettings
from pyfl.peer.swarm_key import new_swarm_key, write_secret
from pyfl.serving.client import PeerClient

WATCHED = 3
SAMPLE_S = 10.0
KINDS = ("anonymous_bytes", "open_files", "threads", "goroutines")
NOISE = {"anonymous_bytes": 4 << 20, "open_files": 4, "threads": 4, "goroutines": 12}
"""Growth of no more than this is no finding: a connection to a peer that is just coming back is some of each."""

Sample = dict[str, float]


def main() -> int:
    """Run, sample, compare the quarters."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--peers", type=int, default=6)
    parser.add_argument("--size", default="1MB", help="of the model")
    parser.add_argument("--train-s", type=float, default=0.5)
    parser.add_argument("--churn", type=float, default=30.0, help="seconds between two kills; 0: none")
    parser.add_argument("--most", type=float, default=0.05, help="growth that is still flat, beside a noise of some")
    parser.add_argument("--csv", type=Path, help="where every sample goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        samples, rounds, kills, failures = measure(Path(place), arguments)
    if arguments.csv:
        write(arguments.csv, samples)
    growth = {kind: [grown(samples[index], kind) for index in range(WATCHED)] for kind in KINDS}
    flat = all(
        after <= max(before * (1 + arguments.most), before + NOISE[kind]) for kind, pairs in growth.items() for before, after in pairs
    )
    print(json.dumps({"event": "summary", "minutes": arguments.minutes, "rounds": rounds, "kills": kills, "flat": flat,
                      "second_and_last_quarter": growth, "failures": failures}))  # fmt: skip
    return 0 if flat and not failures else 1


def measure(directory: Path, arguments: argparse.Namespace) -> tuple[list[list[Sample]], int, int, list[str]]:
    """(samples of each watched peer, rounds committed, kills, what ended that should not have)."""
    settings = swarm(directory, arguments)
    samples: list[list[Sample]] = [[] for _ in range(WATCHED)]
    living = {index: index for index in range(arguments.peers)}  # which process of the herd is which peer
    started = time.monotonic()
    end, next_sample, next_kill = started + 60 * arguments.minutes, started + SAMPLE_S, started + (arguments.churn or float("inf"))
    rounds = kills = told = 0
    down: tuple[int, float] | None = None
    with Herd(settings, framework=False) as herd:
        for happened in herd.events():
            if happened and happened[0] == 0 and isinstance(happened[1].data, events.RoundCommitted):
                rounds = max(rounds, happened[1].data.round)
            now = time.monotonic()
            if now >= end or any(herd.endings[living[index]] for index in range(WATCHED)):
                break
            if now >= next_sample:
                next_sample += SAMPLE_S
                for index in range(WATCHED):
                    samples[index].append(sample(now - started, herd.pids[index], directory / f"peer-{index}"))
                if (now - started) // 60 > told:
                    told = int((now - started) // 60)
                    print(json.dumps({"event": "minute", "minute": told, "round": rounds, "peers": [s[-1] for s in samples]}), flush=True)
            if down and now >= down[1]:
                living[down[0]] = herd.start(settings[down[0]])
                down = None
            elif now >= next_kill:
                next_kill += arguments.churn
                victim = WATCHED + kills % (arguments.peers - WATCHED)
                herd.kill(living[victim])
                kills += 1
                down = (victim, now + 3.0)
        failures = [f"peer {index}: {why.why}" for index in range(WATCHED) if (why := herd.endings[index])]
    return samples, rounds, kills, failures


def swarm(directory: Path, arguments: argparse.Namespace) -> list[PeerSettings]:
    """The founder and its joiners, for a run that does not end by itself."""
    if arguments.peers <= WATCHED and arguments.churn:
        raise SystemExit(f"{arguments.peers} peers leave none to kill; expected more than {WATCHED}, or --churn 0")
    write_secret(directory / "swarm.key", new_swarm_key() + "\n")
    ports = free_ports(arguments.peers)
    return [
        PeerSettings(
            listen=f"127.0.0.1:{port}", name=f"peer-{index}", join=() if index == 0 else (f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}"),
            data_dir=str(directory / f"peer-{index}"), swarm_key=str(directory / "swarm.key"), index=index, of=arguments.peers, seed=1,
            app=f"onehot:{arguments.size},train_s={arguments.train_s}", rounds=1_000_000 if index == 0 else None,
        )
        for index, port in enumerate(ports)
    ]  # fmt: skip


def sample(at_s: float, pid: int, data_dir: Path) -> Sample:
    """What a process uses now; its goroutines it tells itself."""
    with PeerClient(data_dir) as client:
        goroutines = client.status().counters["goroutines"]
    return {"at_s": round(at_s, 1), "rss_bytes": resident_bytes(pid)[0], "anonymous_bytes": anonymous_bytes(pid),
            "open_files": open_files(pid), "threads": threads(pid), "goroutines": goroutines}  # fmt: skip


def grown(samples: list[Sample], kind: str) -> tuple[float, float]:
    """The medians of the second and of the last quarter."""
    quarter = max(1, len(samples) // 4)
    second, last = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    return statistics.median(s[kind] for s in second), statistics.median(s[kind] for s in last)


def write(path: Path, samples: list[list[Sample]]) -> None:
    """All samples, one a line."""
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(file, ["peer", "at_s", "rss_bytes", *KINDS])
        rows.writeheader()
        rows.writerows({"peer": peer, **values} for peer, of_peer in enumerate(samples) for values in of_peer)


if __name__ == "__main__":
    sys.exit(main())

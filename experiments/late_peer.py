"""What `--residuals` is worth: the digits, and one peer of four that is too late in every other round.

Real peers on this machine. Per partition and seed three runs from the same weights, with the same shares and batches: nobody is late; a
peer is late and what it trained is lost; a peer is late and its next update brings it. A line of JSON a run, then means over the seeds.

    python experiments/late_peer.py --seeds 3 --rounds 20
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pyfl.apps import App, digits, onehot
from pyfl.apps.app import Assignment, Option
from pyfl.events import RoundCommitted
from pyfl.overlay.free_port import free_ports
from pyfl.peer.herd import Herd
from pyfl.peer.settings import PeerSettings
from pyfl.peer.swarm_key import new_swarm_key, write_secret
from pyfl.rounds.records import Deadlines
from pyfl.training.trainer import Flat, FlatTrainer, RoundInfo, TrainOutcome

PEERS = 4
DEADLINES = Deadlines(train_floor_s=1.5, train_ceiling_s=3.0)
LATE_S = 1.0  # after it should have ended, so that the round is closed without it


class Late:
    """Another trainer, whose update comes too late in every `every`-th round, from round 1; 0: never."""

    def __init__(self, inner: FlatTrainer, every: int, peer: str) -> None:
        self._inner, self._every, self._peer = inner, every, peer
        self.layout, self.initial, self.evaluate = inner.layout, inner.initial, inner.evaluate

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:
        """Train, and be late. Batches derive from this peer's number, as its id is another in every run."""
        outcome = self._inner.train(base, out, replace(info, peer=self._peer), stop)
        if self._every and info.deadline_s is not None and info.number % self._every == 1:
            time.sleep(max(0.0, info.deadline_s + LATE_S - time.monotonic()))  # the lateness itself
        return outcome


def late(inner: App) -> App:
    """The same app, in which peer number `who` is late; without Keras's options that do not matter here."""

    def trainer(assignment: Assignment, options: Mapping[str, Option]) -> Late:
        rest = {name: value for name, value in options.items() if name not in ("who", "every")}
        every = int(options["every"]) if assignment.index == int(options["who"]) else 0
        return Late(inner.build(assignment.index, assignment.of, assignment.seed, rest), every, str(assignment.index))

    return App(trainer=trainer, options={**inner.settings(), "who": PEERS - 1, "every": 2})


late_digits, late_onehot = late(digits.app), late(onehot.app)


def run(directory: Path, rounds: int, seed: int, partition: str, *, every: int, residuals: bool) -> dict[int, RoundCommitted]:
    """One swarm from its founding to its end: its rounds."""
    key, ports = directory / "swarm.key", free_ports(PEERS)
    write_secret(key, new_swarm_key())
    app = f"{Path(__file__).stem}:late_digits:partition={partition},every={every}"
    founder = PeerSettings(
        listen=f"127.0.0.1:{ports[0]}", data_dir=str(directory / "peer-0"), swarm_key=str(key), index=0, of=PEERS, serve=False, app=app,
        rounds=rounds, seed=seed, min_peers=PEERS, residuals=residuals, deadlines=DEADLINES,
    )  # fmt: skip
    joiners = [
        PeerSettings(
            listen=f"127.0.0.1:{port}", data_dir=str(directory / f"peer-{index}"), swarm_key=str(key), index=index, of=PEERS, serve=False,
            app=app, join=(f"127.0.0.1:{ports[0]}",),
        )
        for index, port in enumerate(ports[1:], 1)
    ]  # fmt: skip
    committed: dict[int, RoundCommitted] = {}
    with Herd([founder, *joiners]) as herd:
        for item in herd.events(300.0):
            if item is not None and isinstance(item[1].data, RoundCommitted):
                committed[item[1].data.round] = item[1].data
        endings = herd.endings
    if any(ending is None or ending.code for ending in endings) or max(committed) < rounds:
        raise SystemExit(f"the swarm did not end well: {endings}")
    return committed


def main() -> None:
    """All runs, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--partitions", nargs="+", default=["iid", "dirichlet:0.3"])
    arguments = parser.parse_args()
    ways = {"nobody late": (0, False), "late, lost": (2, False), "late, residuals": (2, True)}
    found: dict[tuple[str, str], list[dict[int, RoundCommitted]]] = {}
    for partition in arguments.partitions:
        for seed in range(1, arguments.seeds + 1):
            for way, (every, residuals) in ways.items():
                with tempfile.TemporaryDirectory() as place:
                    rounds = run(Path(place), arguments.rounds, seed, partition, every=every, residuals=residuals)
                found.setdefault((partition, way), []).append(rounds)
                told = {
                    "partition": partition, "seed": seed, "way": way, "accuracy": rounds[arguments.rounds].accuracy,
                    "loss": rounds[arguments.rounds].loss, "residuals": sum(len(r.residuals) for r in rounds.values()),
                    "contributors": [len(rounds[n].contributors) for n in range(1, arguments.rounds + 1)],
                }  # fmt: skip
                print(json.dumps(told), flush=True)
    for (partition, way), runs in found.items():
        for number in (arguments.rounds // 4, arguments.rounds // 2, arguments.rounds):
            accuracy, loss = ([float(getattr(rounds[number], name)) for rounds in runs] for name in ("accuracy", "loss"))
            print(f"{partition}, {way}, round {number}: accuracy {spread(accuracy)}, loss {spread(loss)}")


def spread(values: list[float]) -> str:
    """Mean, least and most."""
    return f"{statistics.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})"


if __name__ == "__main__":
    main()

"""A simulated run drawn from a seed: who takes part, how they learn, what goes wrong. Its text is enough to play it again."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from pyfl.aggregation import Strategy, fedadam, fedavg, fedavgm
from pyfl.apps.onehot import OneHotTrainer
from pyfl.overlay.simulated import NetworkOptions, SimulatedOverlay
from pyfl.overlay.simulated.faults import FaultPlan
from pyfl.rounds.driver import Driver
from pyfl.rounds.early_stopping import EarlyStopping
from pyfl.rounds.records import ControlRecord, Deadlines
from pyfl.simulation import SimulatedSwarm
from pyfl.tiers import Tiers, chain, direct, rotated, star, tree
from pyfl.training.trainer import Flat, RoundInfo, TrainOutcome

__all__ = ["STRIDE", "VALUES", "DrawnRun", "Livelock", "Probe", "Started", "play"]

STRIDE = 16
VALUES = 400  # 25 segments of 16 values, once segments may be as short as 64 bytes
ROUNDS = 6
HORIZON_S = 25.0
UNTIL_S = 400.0
EVENTS_AT_ONCE = 20_000  # no honest run has so many at the same virtual moment; a hot loop has
EVENTS_IN_ALL = 2_000_000

DEADLINES = Deadlines(train_floor_s=5, train_ceiling_s=60, reduce_floor_s=20, reduce_ceiling_s=60)
STRATEGIES: tuple[Callable[[], Strategy], ...] = (fedavg, fedavgm, fedadam)
TIERS: tuple[Callable[[], Tiers], ...] = (lambda: rotated(2), lambda: rotated(4), lambda: tree(2), star, chain, direct)


class Livelock(AssertionError):
    """Events go on without time going on, or without an end."""


class Probe(OneHotTrainer):
    """Adds 1 at its own coordinate of every 16 values, which is every segment; in `bad_rounds` its update is NaN."""

    def __init__(self, index: int, samples: int = 1, bad_rounds: frozenset[int] = frozenset()) -> None:
        super().__init__(VALUES * 4, index, stride=STRIDE, tensors=3, train_s=0.0, samples=samples)
        self.bad_rounds = bad_rounds

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:
        """As `OneHotTrainer`, but for the bad rounds."""
        outcome = super().train(base, out, info, stop)
        if info.number in self.bad_rounds:
            out[7] = np.nan
        return outcome


@dataclass(frozen=True)
class DrawnRun:
    """Everything a run depends on beside the code."""

    seed: int
    peers: int
    late: tuple[float, ...]
    """When each of the last peers starts, in seconds."""
    strategy: Strategy
    tiers: Tiers
    min_contributors: int
    samples: tuple[int, ...]
    bad_rounds: tuple[frozenset[int], ...]
    """The rounds in which each peer's update is not finite."""
    straggler: int
    """The peer whose jobs take 8 s; -1 for none."""
    loss: float
    faults: FaultPlan
    wishes: tuple[tuple[float, str], ...] = ()
    """(second, wish): `pause SECONDS` or `kick N`, as an operator would say it."""
    rounds: int = ROUNDS
    drivers: Mapping[int, type[Driver]] = field(default_factory=dict[int, "type[Driver]"])
    """Peers that run something else than the honest driver."""
    stay: frozenset[int] = frozenset()
    """Peers that stay after the run's end."""
    early_stopping: EarlyStopping | None = None

    @classmethod
    def of(cls, seed: int) -> DrawnRun:
        """The run of a seed."""
        rng = random.Random(f"drawn run {seed}")
        peers = rng.randint(3, 9)
        late = rng.choice((0, 0, 0, 1, 2)) if peers >= 4 else 0
        present = [f"peer-{i}" for i in range(peers - late)]
        bad = [frozenset(rng.sample(range(1, ROUNDS + 1), 2)) if rng.random() < 0.08 else frozenset[int]() for _ in range(peers)]
        if rng.random() < 0.03:  # once in a while a whole round goes wrong
            wrong = rng.randint(1, ROUNDS)
            bad = [rounds | {wrong} for rounds in bad]
        wishes: list[tuple[float, str]] = []
        if rng.random() < 0.1:
            wishes.append((rng.uniform(1.0, HORIZON_S), f"pause {rng.uniform(0.1, 10.0):.3f}"))
        if rng.random() < 0.08 and peers - late > 3:
            wishes.append((rng.uniform(1.0, HORIZON_S), f"kick {rng.randrange(1, peers - late)}"))
        return cls(
            seed=seed, peers=peers, late=tuple(round(rng.uniform(0.5, HORIZON_S), 3) for _ in range(late)),
            strategy=rng.choice(STRATEGIES)(), tiers=rng.choice(TIERS)(),
            min_contributors=rng.choice((0, 0, 0, 1, 2, peers // 2)),
            samples=tuple(rng.choice((1, 1, 3, 40)) for _ in range(peers)), bad_rounds=tuple(bad),
            straggler=rng.randrange(peers) if rng.random() < 0.1 else -1, loss=rng.choice((0.0, 0.0, 0.0, 0.01, 0.05)),
            faults=FaultPlan.random(seed, present, HORIZON_S), wishes=tuple(sorted(wishes)),
        )  # fmt: skip

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}: {self.peers} peers, {len(self.late)} of them late at {list(self.late)}",
            f"strategy {self.strategy}, tiers {self.tiers}, min_contributors {self.min_contributors}, samples {list(self.samples)}",
            f"messages lost {self.loss:g}, straggler {self.straggler}, not finite "
            + (", ".join(f"peer-{i} in {sorted(r)}" for i, r in enumerate(self.bad_rounds) if r) or "nobody"),
            *(f"at {at:.3f} an operator says {wish}" for at, wish in self.wishes),
            *str(self.faults).splitlines(),
        ]
        return "\n".join(lines)

    def trainer(self, index: int) -> Probe:
        """Peer `index`'s trainer."""
        return Probe(index, self.samples[index], self.bad_rounds[index])

    def start(self) -> Started:
        """Begin the run; nothing has happened yet."""
        swarm = _Swarm(
            self.seed, self.peers, self.trainer, rounds=self.rounds, strategy=self.strategy, tiers=self.tiers,
            min_contributors=self.min_contributors, deadlines=DEADLINES, late=len(self.late), straggler=self.straggler,
            options=NetworkOptions(message_loss=self.loss), drivers=self.drivers, stay=self.stay,
            early_stopping=self.early_stopping,
        )  # fmt: skip
        self.faults.apply(swarm.network)
        for number, at in enumerate(self.late, start=self.peers - len(self.late)):
            swarm.network.schedule(at, partial(swarm.begin, number))
        for at, wish in self.wishes:
            swarm.network.schedule(at, partial(say, swarm, wish))
        return Started(self, swarm)


class _Swarm(SimulatedSwarm):
    """With a peer that is slow at everything it computes, and with drivers of choice."""

    def __init__(self, *args: object, straggler: int, drivers: Mapping[int, type[Driver]], **more: object) -> None:
        self._straggler, self._drivers = straggler, drivers
        super().__init__(*args, **more)  # type: ignore[arg-type]

    def begin(self, index: int) -> None:
        """A late peer comes."""
        self.start_peer(index)

    def driver_type(self, index: int) -> type[Driver]:
        """The honest one, unless the run says otherwise."""
        return self._drivers.get(index, Driver)

    def work_time(self, overlay: SimulatedOverlay) -> float:
        """8 s for the straggler."""
        return 8.0 if self.index_of(overlay.me) == self._straggler else super().work_time(overlay)


def say(swarm: SimulatedSwarm, wish: str) -> None:
    """Write an operator's wish through some peer, again each second until the record says it."""
    verb, _, whom = wish.partition(" ")
    for peer in swarm.current.values():
        if not peer.overlay.process.running or peer.driver.exit is not None:
            continue
        control = peer.driver.machine.view.control
        kicked = {p for p in swarm.current if verb == "kick" and swarm.index_of(p) == int(whom)}
        wanted = ControlRecord(
            state={"pause": "paused", "resume": "running", "stop": "stopping"}.get(verb, control.state),  # type: ignore[arg-type]
            kicked=tuple(sorted({*control.kicked, *kicked})), by="an operator",
        )  # fmt: skip
        if control.state == "finished":
            return
        if (wanted.state, wanted.kicked) == (control.state, control.kicked):
            if verb == "pause" and whom:
                swarm.network.schedule(float(whom), partial(say, swarm, "resume"))
            return
        peer.driver.control(wanted)
        break
    swarm.network.schedule(1.0, partial(say, swarm, wish))


@dataclass
class Started:
    """A run under way."""

    drawn: DrawnRun
    swarm: SimulatedSwarm
    finished: bool = False
    events: int = 0
    _at_once: int = field(default=0, repr=False)
    _moment: float = field(default=-1.0, repr=False)

    def run(self, until_s: float = UNTIL_S) -> Started:
        """Run to the end or to `until_s`; raises `Livelock` when events pile up."""
        self.finished = self.swarm.network.run(until=until_s, stop=self._stop)
        return self

    def _stop(self) -> bool:
        network = self.swarm.network
        self.events += 1
        self._at_once = self._at_once + 1 if network.now == self._moment else 0
        self._moment = network.now
        if self._at_once > EVENTS_AT_ONCE or self.events > EVENTS_IN_ALL:
            raise Livelock(f"{self.events} events by {network.now:.3f} s, {self._at_once} of them at that moment")
        return self.swarm.all_done()


def play(seed: int) -> Started:
    """Run a seed to its end."""
    return DrawnRun.of(seed).start().run()

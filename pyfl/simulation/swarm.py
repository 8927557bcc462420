"""A swarm of real drivers over the simulated overlay. One seed, one run; faults are the network's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pyfl import events
from pyfl.aggregation import Strategy, fedavg
from pyfl.overlay.simulated import NetworkOptions, SimulatedNetwork, SimulatedOverlay
from pyfl.overlay.simulated.raft import Disk
from pyfl.preparation.plan import asked_of, numbers
from pyfl.rounds.buffers import Buffers
from pyfl.rounds.driver import Driver
from pyfl.rounds.early_stopping import EarlyStopping
from pyfl.rounds.machine import Input
from pyfl.rounds.records import Deadlines, RunRecord
from pyfl.simulation.disk import SimulatedCheckpoints
from pyfl.tiers import Tiers, rotated
from pyfl.training.trainer import FlatTrainer

__all__ = ["SimulatedPeer", "SimulatedSwarm"]

TICK_S = 0.25


@dataclass(slots=True)
class SimulatedPeer:
    """One life of a peer: its driver, and what it observed."""

    overlay: SimulatedOverlay
    driver: Driver
    seen: list[tuple[float, events.ObservedEvent]] = field(default_factory=list[tuple[float, events.ObservedEvent]])
    installed: dict[int, str] = field(default_factory=dict[int, str])
    """Digest of every committed model it held, by round."""
    models: dict[int, NDArray[np.float32]] = field(default_factory=dict[int, NDArray[np.float32]])
    """The bytes of every committed model it held, and below of the server state beside it."""
    states: dict[int, list[NDArray[np.float32]]] = field(default_factory=dict[int, list[NDArray[np.float32]]])

    def waits_for(self) -> str:
        """What it says it waits for."""
        return self.driver.machine.waiting()


class _Worker:
    """Does each job at once and hands its result over after the time that it would have taken."""

    def __init__(self, swarm: SimulatedSwarm, overlay: SimulatedOverlay) -> None:
        self._swarm, self._overlay = swarm, overlay
        self._free_at = 0.0
        self.driver: Driver | None = None

    def submit(self, job: Callable[[], Input | None]) -> None:
        """Run in virtual time, one job after another."""
        now = self._swarm.network.now
        self._free_at = max(now, self._free_at) + self._swarm.work_time(self._overlay)

        def run() -> None:
            result = job()
            if result is not None and self.driver is not None:
                self._swarm.handle(self._overlay, result)

        self._overlay.schedule(self._free_at - now, run)


class SimulatedSwarm:
    """Peers that train with `trainer(index)`. `work_s`: bounds in seconds of what building, training or evaluating takes."""

    def __init__(
        self,
        seed: int,
        peers: int,
        trainer: Callable[[int], FlatTrainer],
        *,
        rounds: int,
        strategy: Strategy | None = None,
        tiers: Tiers | None = None,
        min_contributors: int = 0,
        deadlines: Deadlines | None = None,
        work_s: tuple[float, float] = (0.05, 0.6),
        options: NetworkOptions | None = None,
        late: int = 0,
        durable: bool = True,
        stay: frozenset[int] = frozenset(),
        early_stopping: EarlyStopping | None = None,
    ) -> None:
        """`late` of the peers are not started: `start_peer` starts them. `durable`: checkpoints, and voters stage results.

        `stay`: those that stay after the run's end.
        """
        self.network = SimulatedNetwork(seed, options=options)
        self._trainer, self._work_s = trainer, work_s
        self.rounds, self._strategy, self._tiers = rounds, strategy or fedavg(), tiers or rotated(4)
        self._min_contributors, self._deadlines = min_contributors, deadlines or Deadlines()
        self._seed = seed
        self._work: dict[str, float] = {}
        self._indices: dict[str, int] = {}
        self._lives = 0
        self._durable, self._stay, self._early_stopping = durable, stay, early_stopping
        self._stores: dict[Disk, SimulatedCheckpoints] = {}
        self.current: dict[str, SimulatedPeer] = {}
        self.lives: list[SimulatedPeer] = []
        self.network.on_started = self._restarted
        self.min_peers = peers - late
        for index in range(peers - late):
            self.start_peer(index, found=index == 0)

    def start_peer(self, index: int, *, found: bool = False) -> SimulatedPeer:
        """Start one more peer."""
        overlay = self.network.add_peer(f"peer-{index}", found=found)
        self._indices[overlay.me] = index
        return self._attach(overlay, found=found)

    def index_of(self, peer: str) -> int:
        """Which trainer a peer has."""
        return self._indices[peer]

    def disk_of(self, peer: SimulatedPeer) -> SimulatedCheckpoints:
        """Where a peer keeps its checkpoints; of `durable` swarms."""
        return self._stores[peer.overlay.process.disk]

    def driver_type(self, index: int) -> type[Driver]:  # noqa: ARG002
        """What drives a peer; a test of hostile peers has others."""
        return Driver

    def work_time(self, overlay: SimulatedOverlay) -> float:
        """How long this peer takes for a job: differs between peers, the same every time."""
        low, high = self._work_s
        share = int(overlay.me[:8], 16) / 0xFFFFFFFF
        return low + (high - low) * share

    def _restarted(self, overlay: SimulatedOverlay) -> None:
        self._attach(overlay)

    def _attach(self, overlay: SimulatedOverlay, *, found: bool = False) -> SimulatedPeer:
        index = self._indices[overlay.me]
        worker = _Worker(self, overlay)
        self._lives += 1
        peer = SimulatedPeer(overlay, None)  # type: ignore[arg-type] - set two lines below
        peer.driver = self.driver_type(index)(
            overlay, worker, lambda _: self._trainer(index), lambda: self.network.now,
            lambda event: self._observe(peer, event), instance=self._lives,
            checkpoints=self._stores.setdefault(overlay.process.disk, SimulatedCheckpoints()) if self._durable else None,
            durable=self._durable, stay=index in self._stay,
        )  # fmt: skip
        worker.driver = peer.driver
        self.current[overlay.me] = peer
        self.lives.append(peer)
        overlay.on_event = lambda event: self.handle(overlay, event)
        proposal = None
        trainer = None
        if found:
            trainer = self._trainer(index)
            proposal = self._proposal(trainer)
        peer.driver.start(proposal, trainer)
        overlay.schedule(TICK_S, lambda: self._tick(overlay))
        return peer

    def _proposal(self, trainer: FlatTrainer) -> RunRecord:
        prepare = asked_of(trainer)
        buffers = Buffers(trainer.layout, self._strategy, numbers(prepare))
        trainer.initial(buffers.base)
        model, state = buffers.seal_base()
        return RunRecord(
            run=f"{self._seed:016x}", app="simulated", layout=trainer.layout, model=model, state=state, strategy=self._strategy,
            tiers=self._tiers, rounds=self.rounds, min_peers=self.min_peers, min_contributors=self._min_contributors,
            seed=self._seed, deadlines=self._deadlines, early_stopping=self._early_stopping,
            prepare=prepare,
        )  # fmt: skip

    def handle(self, overlay: SimulatedOverlay, event: object) -> None:
        """Give an event to the driver of a life that still runs."""
        peer = self.current[overlay.me]
        if peer.overlay is overlay and peer.driver.exit is None:
            peer.driver.handle(event)  # type: ignore[arg-type]
            self._leave_if_done(peer)

    def _tick(self, overlay: SimulatedOverlay) -> None:
        peer = self.current[overlay.me]
        if peer.overlay is not overlay or peer.driver.exit is not None:
            return
        peer.driver.tick()
        self._leave_if_done(peer)
        if peer.driver.exit is None:
            overlay.schedule(TICK_S, lambda: self._tick(overlay))

    def _leave_if_done(self, peer: SimulatedPeer) -> None:
        if peer.driver.exit is not None:
            peer.overlay.leave()
            peer.overlay.close()

    def _observe(self, peer: SimulatedPeer, event: events.ObservedEvent) -> None:
        peer.seen.append((self.network.now, event))
        if isinstance(event, events.ModelInstalled) and peer.driver.buffers is not None:
            peer.installed[event.round] = event.digest
            peer.models[event.round] = peer.driver.buffers.base.copy()
            peer.states[event.round] = [vector.copy() for vector in peer.driver.buffers.state]

    def run(self, until_s: float) -> bool:
        """Run until every live peer has left after the last round; False when `until_s` virtual seconds passed first."""
        return self.network.run(until=until_s, stop=self.all_done)

    def all_done(self) -> bool:
        """Every peer has left or is dead."""
        return all(p.driver.exit is not None or not p.overlay.alive for p in self.current.values())

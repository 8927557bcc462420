"""A swarm of real drivers over the simulated overlay. One seed, one run; faults are the network's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pyfl import events
from pyfl.aggregation import Strategy, fedavg
from pyfl.overlay.simulated import NetworkOptions, SimulatedNetwork, SimulatedOverlay
from pyfl.overlay.simulated.faults import Fault
from pyfl.overlay.simulated.process import Process
from pyfl.overlay.simulated.raft import Disk
from pyfl.preparation.plan import asked_of, numbers
from pyfl.rounds.actions import Built
from pyfl.rounds.buffers import Buffers
from pyfl.rounds.driver import Driver
from pyfl.rounds.early_stopping import EarlyStopping
from pyfl.rounds.machine import Input
from pyfl.rounds.records import Deadlines, RunRecord
from pyfl.simulation.ailments import Ailments
from pyfl.simulation.disk import SimulatedCheckpoints
from pyfl.simulation.worker import SimulatedWorker
from pyfl.tiers import Tiers, rotated
from pyfl.training.trainer import FlatTrainer

__all__ = ["SimulatedPeer", "SimulatedSwarm"]

TICK_S = 0.25
INATTENTIVE_S = 10.0  # as `gocore/p2plib/attention.go`: a leader whose events nobody reads hands leadership over


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
    ailments: Ailments = field(default_factory=Ailments)

    def waits_for(self) -> str:
        """What it says it waits for."""
        return self.driver.machine.waiting()


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
        scratch: int = 0,
        residuals: bool = False,
    ) -> None:
        """`late` of the peers are not started: `start_peer` starts them. `durable`: checkpoints, and voters stage results.

        `stay`: those that stay after the run's end. `scratch`: how many buffers each has for partials; 0 for as many as usual.
        """
        self.network = SimulatedNetwork(seed, options=options)
        self._trainer, self._work_s = trainer, work_s
        self.rounds, self._strategy, self._tiers = rounds, strategy or fedavg(), tiers or rotated(4)
        self._min_contributors, self._deadlines = min_contributors, deadlines or Deadlines()
        self._seed = seed
        self._scratch = scratch
        self._indices: dict[str, int] = {}
        self._lives = 0
        self._durable, self._stay, self._early_stopping, self._residuals = durable, stay, early_stopping, residuals
        self._stores: dict[Disk, SimulatedCheckpoints] = {}
        self.current: dict[str, SimulatedPeer] = {}
        self.lives: list[SimulatedPeer] = []
        self.network.on_started = self._restarted
        self.network.ailments = self._ail
        self.min_peers = peers - late
        for index in range(peers - late):
            self.start_peer(index)

    def start_peer(self, index: int) -> SimulatedPeer:
        """Start one more peer; peer 0 founds the swarm."""
        overlay = self.network.add_peer(f"peer-{index}", found=index == 0)
        self._indices[overlay.me] = index
        return self._attach(overlay)

    def index_of(self, peer: str) -> int:
        """Which trainer a peer has."""
        return self._indices[peer]

    def peer_of(self, index: int) -> str:
        """The peer that has a trainer."""
        return next(peer for peer, known in self._indices.items() if known == index)

    def works_early(self, overlay: SimulatedOverlay) -> bool:  # noqa: ARG002
        """Whether this peer does a job when it begins, and hands its result over when it ends: nothing stops it in between."""
        return False

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

    def _attach(self, overlay: SimulatedOverlay) -> SimulatedPeer:
        index = self._indices[overlay.me]
        self._lives += 1
        peer = SimulatedPeer(overlay, None)  # type: ignore[arg-type] - set below, by what needs it
        worker = SimulatedWorker(
            overlay, peer.ailments, partial(self.work_time, overlay), partial(self._worked, peer), early=self.works_early(overlay)
        )
        peer.driver = self.driver_type(index)(
            overlay, worker, lambda _: self.trainer_of(peer), lambda: self.network.now + peer.ailments.clock_s,
            lambda event: self._observe(peer, event), instance=self._lives,
            checkpoints=self._stores.setdefault(overlay.process.disk, SimulatedCheckpoints()) if self._durable else None,
            durable=self._durable, stay=index in self._stay,
        )  # fmt: skip
        self.current[overlay.me] = peer
        if self._durable:
            self.disk_of(peer).staging = lambda moment: self._staging(overlay, moment)
        self.lives.append(peer)
        overlay.on_event = lambda event: self.handle(overlay, event)
        proposal = None
        trainer = None
        if index == 0:  # also one that comes back: it may have died before it wrote the run
            trainer = self.trainer_of(peer)
            proposal = self._proposal(trainer)
        overlay.process.run(lambda: peer.driver.start(proposal, trainer))
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
            prepare=prepare, residuals=self._residuals,
        )  # fmt: skip

    def trainer_of(self, peer: SimulatedPeer) -> FlatTrainer:
        """A trainer for one life of a peer."""
        return self._trainer(self._indices[peer.overlay.me])

    def handle(self, overlay: SimulatedOverlay, event: object) -> None:
        """Give an event to the driver of a life that still runs."""
        peer = self.current[overlay.me]
        if peer.overlay is not overlay or peer.driver.exit is not None:
            return
        if self._frozen(peer) or peer.ailments.unread:
            peer.ailments.unread.append(event)
            return
        self._take_in(peer, event)

    def _take_in(self, peer: SimulatedPeer, event: object) -> None:
        peer.driver.handle(event)  # type: ignore[arg-type]
        self._leave_if_done(peer)

    def _worked(self, peer: SimulatedPeer, result: Input) -> None:
        memory = peer.driver.buffers
        if isinstance(result, Built) and self._scratch and memory is not None:
            del memory.scratch[self._scratch :]
            result = replace(result, scratch=len(memory.scratch))
        self.handle(peer.overlay, result)

    def _staging(self, overlay: SimulatedOverlay, moment: str) -> None:
        steps = self.network.steps
        (steps.before if moment == "before" else steps.after)(overlay.process, "stage")

    def _tick(self, overlay: SimulatedOverlay) -> None:
        peer = self.current[overlay.me]
        if peer.overlay is not overlay or peer.driver.exit is not None:
            return
        if not self._frozen(peer):
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

    # ---- what befalls a peer's program

    def _frozen(self, peer: SimulatedPeer) -> bool:
        return self.network.now < peer.ailments.frozen_until_s

    def _ail(self, process: Process, fault: Fault) -> None:
        """A program's fault strikes a peer."""
        peer, now = self.current[process.peer], self.network.now
        ailments, until_s = peer.ailments, now + (fault.after_s or float("inf"))
        self.network.fault_log.append((now, f"{fault.kind} {process.name} {fault.amount or fault.after_s:g} s"))
        match fault.kind:
            case "clock":
                ailments.clock_s += fault.amount
            case "hang":
                ailments.hangs_until_s = until_s
            case "grind":
                ailments.grinds_until_s = until_s
            case "freeze":
                ailments.frozen_until_s = until_s
                self.network.schedule(INATTENTIVE_S, partial(self._hand_over, peer))
                if fault.after_s:
                    peer.overlay.schedule(fault.after_s, partial(self._thaw, peer))
            case "disk":
                self._fill_disk(peer, fault.after_s)
            case _:
                raise ValueError(f"no program can have {fault.kind!r}")

    def _hand_over(self, peer: SimulatedPeer) -> None:
        """The overlay notices that nobody reads its events, as long as that lasts."""
        if not self._frozen(peer) or not peer.overlay.alive:
            return
        leader = self.network.leader
        if leader is peer.overlay:
            self.network.depose_leader()
        self.network.schedule(INATTENTIVE_S if leader is peer.overlay else TICK_S, partial(self._hand_over, peer))

    def _thaw(self, peer: SimulatedPeer) -> None:
        """The driver takes in what waited for it, one after another."""
        unread = peer.ailments.unread
        if unread and not self._frozen(peer) and peer.driver.exit is None:
            peer.overlay.schedule(0.0, partial(self._thaw, peer))
            self._take_in(peer, unread.popleft())

    def _fill_disk(self, peer: SimulatedPeer, after_s: float) -> None:
        """No room for checkpoints. A peer that ended for that is started again when there is room."""
        if not self._durable:
            return
        store = self.disk_of(peer)
        store.full = True

        def make_room() -> None:
            store.full = False
            if peer.driver.exit is not None and peer.driver.exit.code and self.current[peer.overlay.me] is peer:
                self.network.restart(peer.overlay.me)

        if after_s:
            self.network.schedule(after_s, make_room)

    # ---- the whole

    def run(self, until_s: float) -> bool:
        """Run until every live peer has left after the last round; False when `until_s` virtual seconds passed first."""
        return self.network.run(until=until_s, stop=self.all_done)

    def all_done(self) -> bool:
        """Every peer has left or is dead for good."""
        returning = self.network.returning
        return all(p.driver.exit is not None or (not p.overlay.alive and me not in returning) for me, p in self.current.items())

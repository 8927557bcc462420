"""A scenario under way: its swarm in virtual time, until it ends, stands still or turns into a hot loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from pyfl.overlay.simulated import NetworkOptions, SimulatedOverlay
from pyfl.rounds.driver import Driver
from pyfl.rounds.records import Deadlines
from pyfl.simulation.operator import say
from pyfl.simulation.probe import Probe
from pyfl.simulation.scenario import Scenario
from pyfl.simulation.swarm import SimulatedPeer, SimulatedSwarm
from pyfl.training.trainer import FlatTrainer

__all__ = ["UNTIL_S", "Livelock", "Started", "start"]

UNTIL_S = 400.0
EVENTS_AT_ONCE = 20_000  # no honest run has so many at the same virtual moment; a hot loop has
EVENTS_IN_ALL = 2_000_000
STRAGGLER_S = 8.0
NOW_AND_THEN_S = 6.0  # later than the shortest deadline, and over before the next round's

DEADLINES = Deadlines(train_floor_s=5, train_ceiling_s=60, reduce_floor_s=20, reduce_ceiling_s=60)


class Livelock(AssertionError):
    """Events go on without time going on, or without an end."""


class _Swarm(SimulatedSwarm):
    """A scenario's peers: one that is slow at everything it computes, probes that grind, and drivers of choice."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        super().__init__(
            scenario.seed, scenario.peers, scenario.trainer, rounds=scenario.rounds, strategy=scenario.strategy, tiers=scenario.tiers,
            min_contributors=scenario.min_contributors, deadlines=DEADLINES, late=len(scenario.late),
            options=NetworkOptions(message_loss=scenario.loss), stay=scenario.stay, early_stopping=scenario.early_stopping,
            scratch=scenario.scratch, residuals=scenario.residuals,
        )  # fmt: skip

    def begin(self, index: int) -> None:
        """A late peer comes."""
        self.start_peer(index)

    def driver_type(self, index: int) -> type[Driver]:
        """The honest one, unless the scenario says otherwise."""
        return self._scenario.drivers.get(index, Driver)

    def trainer_of(self, peer: SimulatedPeer) -> FlatTrainer:
        """As always, but its training may be made to go on."""
        trainer = super().trainer_of(peer)
        if isinstance(trainer, Probe):
            trainer.grinds = lambda: self.network.now < peer.ailments.grinds_until_s
        return trainer

    def work_time(self, overlay: SimulatedOverlay) -> float:
        """8 s for the straggler; in a run with residuals it is late now and then."""
        if self.index_of(overlay.me) != self._scenario.straggler:
            return super().work_time(overlay)
        if not self._scenario.residuals:
            return STRAGGLER_S
        return NOW_AND_THEN_S if self.network.now % 8.0 < 4.0 else 0.3

    def works_early(self, overlay: SimulatedOverlay) -> bool:
        """With residuals the straggler does not look whether its training is wanted: its update is whole, and late."""
        return self._scenario.residuals and self.index_of(overlay.me) == self._scenario.straggler


@dataclass
class Started:
    """A run under way."""

    scenario: Scenario
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
            raise Livelock(f"I5: {self.events} events by {network.now:.3f} s, {self._at_once} of them at that moment")
        return self.swarm.all_done()


def start(scenario: Scenario) -> Started:
    """Begin a run; nothing has happened yet. Segments must be as small as `SEGMENT_BYTES` meanwhile: `segments.smallest`."""
    swarm = _Swarm(scenario)
    scenario.faults.apply(swarm.network)
    for number, at in enumerate(scenario.late, start=scenario.peers - len(scenario.late)):
        swarm.network.schedule(at, partial(swarm.begin, number))
    for at, wish in scenario.wishes:
        swarm.network.schedule(at, partial(say, swarm, wish))
    return Started(scenario, swarm)

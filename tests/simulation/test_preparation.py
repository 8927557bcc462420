"""Statistics of everyone's data before round 1: whatever fails, every peer learns the same, of exactly those that are listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from pyfl import events
from pyfl.aggregation import fedadam, fedavg
from pyfl.errors import DataError
from pyfl.overlay.simulated.faults import FaultPlan
from pyfl.preparation import Ring, from_wire
from pyfl.rounds import messages
from pyfl.rounds.actions import Action, Finish, Place, PostSend
from pyfl.rounds.driver import Driver
from pyfl.rounds.machine import STOPPED, Input
from pyfl.simulation import SimulatedPeer, SimulatedSwarm
from pyfl.simulation.drawing import WIDE, draw
from pyfl.simulation.invariants import check
from pyfl.simulation.ledger_log import committed
from pyfl.simulation.operator import say
from pyfl.simulation.playing import Started, start
from pyfl.simulation.probe import STRIDE, Probe
from pyfl.simulation.scenario import Scenario
from pyfl.tiers import chain, rotated, star
from pyfl.training.trainer import Flat, RoundInfo, TrainOutcome
from tests.simulation import hostile
from tests.simulation.chosen_seeds import chosen_seeds, needs_chosen_seeds

NUMBERS = 100  # 400 limbs, in 25 segments
HUGE = 2**64 - 2**40  # its limbs are all but full


@dataclass(frozen=True)
class Whose:
    """At each 16th coordinate from `index` on a number of peer `index`'s own: the sum says whose data is in it, and how often."""

    length: int = NUMBERS

    def local(self, data: int) -> Ring:
        if data < 0:
            raise DataError(f"peer {data} does not exist")
        vector = np.zeros(self.length, np.uint64)
        vector[data::STRIDE] = (HUGE + data + 1) % 2**64
        return vector.view(np.int64)

    def finish(self, total: Ring) -> tuple[int, ...]:
        return tuple(total.tolist())


class Preparing(Probe):
    """Asks for `Whose` and remembers what it was told."""

    def __init__(self, index: int, samples: int, bad_rounds: frozenset[int], data: int | None = None, length: int = NUMBERS) -> None:
        super().__init__(index, samples, bad_rounds)
        self.data, self.whose, self.told = index if data is None else data, Whose(length), list[Mapping[str, Any]]()

    def statistics(self) -> Mapping[str, tuple[Whose, int]]:
        return {"whose": (self.whose, self.data)}

    def prepared(self, results: Mapping[str, Any]) -> None:
        self.told.append(results)

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:
        if info.peer:  # not in the checks, where results are computed again
            assert len(self.told) == 1, f"training begins with what was prepared, told once; it was told {len(self.told)} times"
        return super().train(base, out, info, stop)


class PreparedRun(Scenario):
    """A drawn run that asks for statistics."""

    def trainer(self, index: int) -> Probe:
        return Preparing(index, self.samples[index], self.bad_rounds[index])


def prepared(drawn: Scenario, kind: type[Scenario] = PreparedRun, **changes: object) -> Started:
    values = {name: getattr(drawn, name) for name in drawn.__dataclass_fields__}
    return start(kind(**{**values, **changes}))  # type: ignore[arg-type]


def quiet(seed: int = 0, **changes: object) -> Started:
    """Five peers and a late one, without faults."""
    nothing: frozenset[int] = frozenset()
    run: dict[str, object] = {
        "seed": seed, "peers": 6, "late": (8.0,),
        "strategy": (fedavg(), fedadam())[seed % 2], "tiers": (rotated(2), chain(), star())[seed % 3],
        "min_contributors": 0, "samples": (1, 2, 3, 4, 5, 6), "bad_rounds": (nothing,) * 6, "straggler": -1, "loss": 0.0,
        "faults": FaultPlan(()), "wishes": (),
    }  # fmt: skip
    return prepared(draw(seed, WIDE), PreparedRun, **{**run, **changes})


def expected(swarm: SimulatedSwarm) -> NDArray[np.int64]:
    """The plain sum over those that the commit lists."""
    record = committed(swarm)[0]
    assert record.contributors
    assert len(set(record.contributors)) == len(record.contributors)
    with np.errstate(over="ignore"):
        return np.add.reduce([Whose().local(swarm.index_of(peer)) for peer in record.contributors])


def check_prepared(started: Started, liars: frozenset[int] = frozenset()) -> None:
    """What the run promises of every round, and that whoever holds a round after the preparation holds and was told that sum."""
    check(started, hostile=liars)
    swarm = started.swarm
    if 0 not in committed(swarm):
        return
    total = expected(swarm)
    for life in swarm.lives:
        if swarm.index_of(life.overlay.me) in liars:
            continue
        for number, state in life.states.items():
            there = from_wire(state[-1].view(np.int32))
            assert np.array_equal(there, total if number >= 0 else np.zeros_like(total)), f"{life.overlay.name} in round {number}"
        trainer = life.driver.trainer
        if isinstance(trainer, Preparing):
            assert [told["whose"] for told in trainer.told] in ([], [tuple(total.tolist())])


def plays(seed: int) -> None:
    """A drawn run whose faults all fall into its first seconds."""
    drawn = draw(seed, WIDE)
    present = [f"peer-{i}" for i in range(drawn.peers - len(drawn.late))]
    faults = FaultPlan.random(seed, present, 4.0)
    try:
        check_prepared(prepared(drawn, faults=faults, rounds=2).run())
    except Exception as error:
        error.add_note(f"\n{drawn}\n{faults}\nto play it again: PYFL_SEEDS={seed} pytest {__file__} -k choice")
        raise


@pytest.mark.parametrize("block", [*range(15), *(pytest.param(block, marks=pytest.mark.soak) for block in range(15, 500))])
def test_whatever_fails_in_the_preparation_all_peers_learn_the_same_of_those_that_are_listed(block: int) -> None:
    for seed in range(block * 20, (block + 1) * 20):
        plays(seed)


@needs_chosen_seeds
def test_seeds_of_choice() -> None:
    for seed in chosen_seeds():
        plays(seed)


@pytest.mark.parametrize("seed", range(6))
def test_a_late_peer_is_told_the_same_and_counts_in_the_rounds_only(seed: int) -> None:
    started = quiet(seed, late=(8.0,)).run()
    assert started.finished
    check_prepared(started)
    swarm = started.swarm
    late = next(p for p in swarm.current.values() if swarm.index_of(p.overlay.me) == 5)
    rounds = committed(swarm)
    assert late.overlay.me not in rounds[0].contributors
    assert len(rounds[0].contributors) == 5
    assert late.overlay.me in rounds[max(rounds)].contributors
    assert isinstance(late.driver.trainer, Preparing)
    assert len(late.driver.trainer.told) == 1


def saw(kind: type[Any]) -> Callable[[SimulatedPeer], bool]:
    return lambda life: any(isinstance(event, kind) and getattr(event, "round", 0) == 0 for _, event in life.seen)


PHASES: dict[str, Callable[[SimulatedPeer], bool]] = {
    "before it opens": lambda life: saw(events.PeerJoined)(life) and life.driver.machine.view.run is not None,
    "open": saw(events.RoundOpened),
    "adding up": saw(events.TrainingStarted),
    "reduce": saw(events.ReduceStarted),
    "held": saw(events.ResultHeld),
    "committed": saw(events.RoundCommitted),
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("victim", ["coordinator", "member", "founder"])
@pytest.mark.parametrize("back", [False, True], ids=["for good", "and starts again"])
def test_a_peer_killed_in_any_phase_of_the_preparation(phase: str, victim: str, back: bool) -> None:
    for seed in range(3):
        started = quiet(seed)
        swarm, network = started.swarm, started.swarm.network
        network.run(until=60.0, stop=lambda swarm=swarm: any(PHASES[phase](p) for p in swarm.current.values()))
        leader = network.leader
        chosen = {p.overlay.me: swarm.index_of(p.overlay.me) for p in swarm.current.values()}
        coordinator = chosen[leader.me] if leader else 0
        others = [index for index in sorted(chosen.values()) if index != coordinator]
        index = {"coordinator": coordinator, "founder": 0, "member": others[-1]}[victim]
        if phase == "before it opens" and index == 0:
            continue  # whoever founds is all that there is of the swarm
        dead = next(peer for peer, number in chosen.items() if number == index)
        network.kill(f"peer-{index}")
        if back:
            network.schedule(1.0, partial(start_again, swarm, f"peer-{index}"))
        started.run()
        check_prepared(started)
        assert started.finished or phase == "before it opens", [p.waits_for() for p in swarm.current.values()]
        if not back and phase == "open":
            assert dead not in committed(swarm)[0].contributors


MOMENTS: dict[str, Callable[[SimulatedSwarm], bool]] = {
    "the commit": lambda swarm: 0 in committed(swarm),
    "the next training": lambda swarm: all(begun(p, events.TrainingStarted, 1) for p in swarm.current.values()),
    "the next reduce": lambda swarm: all(begun(p, events.ReduceStarted, 1) for p in swarm.current.values()),
    "the next commit": lambda swarm: 1 in committed(swarm),
}


def begun(life: SimulatedPeer, kind: type[Any], number: int) -> bool:
    return any(isinstance(event, kind) and getattr(event, "round", None) == number for _, event in life.seen)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_swarm_whose_power_fails_has_its_statistics_again_from_disk(moment: str) -> None:
    for seed in range(6):
        started = quiet(seed, late=(), peers=5)
        swarm = started.swarm
        assert swarm.network.run(until=60.0, stop=lambda swarm=swarm: MOMENTS[moment](swarm)), "the moment never came"
        for peer in list(swarm.current.values()):
            swarm.network.restart(peer.overlay.name)
        assert swarm.network.run(until=swarm.network.now + 120.0, stop=swarm.all_done)
        check_prepared(started)
        assert max(committed(swarm)) == swarm.rounds
        for life in swarm.lives[-5:]:
            assert not begun(life, events.TrainingStarted, 0), "nothing is added up a second time"
            assert isinstance(life.driver.trainer, Preparing)
            assert len(life.driver.trainer.told) == 1


def test_a_peer_whose_data_does_not_suit_a_statistic_leaves_and_the_others_go_on() -> None:
    class Unsuited(PreparedRun):
        def trainer(self, index: int) -> Probe:
            return Preparing(index, 1, frozenset(), data=-1 if index == 3 else index)

    started = prepared(quiet().scenario, Unsuited).run()
    ends = {started.swarm.index_of(peer): life.driver.exit for peer, life in started.swarm.current.items()}
    assert ends[3] is not None
    assert (ends[3].code, ends[3].why) == (5, "Statistic 'whose' of this peer's data: peer -1 does not exist")
    assert all(end is not None and end.code == 0 for index, end in ends.items() if index != 3)
    assert len(committed(started.swarm)[0].contributors) == 4


def test_a_peer_that_would_prepare_something_else_is_refused_as_differing() -> None:
    class Other(PreparedRun):
        def trainer(self, index: int) -> Probe:
            return Probe(index) if index == 4 else Preparing(index, 1, frozenset(), length=NUMBERS + (index == 3))

    started = prepared(quiet().scenario, Other, peers=5, late=(8.0, 8.0)).run()
    ends = {started.swarm.index_of(peer): life.driver.exit for peer, life in started.swarm.current.items()}
    for index, here in ((3, "Whose(length=101) of 101 numbers"), (4, "none")):
        end = ends[index]
        assert end is not None
        assert end.code == 7
        assert f"whose: {here} here, Whose(length=100) of 100 numbers there" in end.why
    assert all(end is not None and end.code == 0 for index, end in ends.items() if index < 3)


def test_a_run_that_waits_for_contributors_does_not_add_up_fewer() -> None:
    started = quiet(min_contributors=6, late=(30.0,))
    swarm = started.swarm
    swarm.network.run(until=20.0, stop=swarm.all_done)
    assert 0 not in committed(swarm), "five of the six that must contribute are here"
    started.run()
    check_prepared(started)
    assert len(committed(swarm)[0].contributors) == 6


def test_the_time_that_the_preparation_takes_is_not_taken_for_that_of_a_round() -> None:
    started = quiet(late=(), peers=5)
    swarm = started.swarm
    swarm.network.run(until=60.0, stop=lambda: any(begun(p, events.RoundOpened, 1) for p in swarm.current.values()))
    record = next(iter(swarm.current.values())).driver.machine.view.round
    assert record is not None
    assert record.number == 1
    assert record.train_deadline_s == 60.0, "the ceiling, as nothing is known of trainings yet"


def start_again(swarm: SimulatedSwarm, name: str) -> None:
    swarm.network.restart(name)


def test_a_run_stopped_or_paused_in_the_preparation() -> None:
    started = quiet()
    started.swarm.network.schedule(1.0, lambda: say(started.swarm, "stop"))
    started.run()
    assert started.finished
    assert max(committed(started.swarm), default=0) <= 0
    paused = quiet()
    paused.swarm.network.schedule(1.0, lambda: say(paused.swarm, "pause 20"))
    paused.run()
    check_prepared(paused)
    assert paused.finished


class EarlySummer(hostile.Liar):
    """Says that it holds the sum as soon as adding up begins."""

    def lies(self, message: messages.Message) -> list[messages.Message]:
        record = self.machine.view.round
        if isinstance(message, messages.Report) and record and record.number == 0 and record.phase == "reduce":
            return [replace(message, held=messages.Held(0, record.epoch, f"{record.epoch:064x}", "e" * 64))]
        return [message]


class ManyPeers(hostile.Liar):
    """Wants its data to count twice."""

    def ready(self, ready: messages.Ready) -> messages.Ready:
        return ready if ready.round else replace(ready, samples=2)


class NotANumber(hostile.Liar):
    """Says that it has no data to add."""

    def ready(self, ready: messages.Ready) -> messages.Ready:
        return ready if ready.round else replace(ready, finite=False)


class LimbTooLarge(Driver):
    """Sends a limb that not even all peers together could have."""

    def _do(self, action: Action) -> Input | None:
        if isinstance(action, PostSend) and action.tag.kind == "u" and not action.tag.round:
            self._memory.view(action.place).cast("i")[3] = -1
        return super()._do(action)


LIARS = (*hostile.HOSTILE, EarlySummer, ManyPeers, NotANumber, LimbTooLarge)


@pytest.mark.parametrize("liar", LIARS, ids=lambda c: c.__name__)
def test_the_statistics_are_agreed_on_whatever_a_member_says(liar: type[Driver]) -> None:
    for seed in range(3):
        started = quiet(seed, drivers={3: liar}, rounds=3).run()
        check_prepared(started, frozenset({3}))
        assert started.finished, [p.waits_for() for p in started.swarm.current.values() if p.overlay.alive]
        rounds = committed(started.swarm)
        assert max(rounds) == 3
        assert not rounds[0].void
        assert len([p for p in rounds[0].contributors if started.swarm.index_of(p) != 3]) >= 2


@pytest.mark.parametrize(
    ("liar", "what"),
    [
        (ManyPeers, "expected 1, as all count alike"), (NotANumber, "finite: False"), (hostile.NotFinite, "which always are"),
        (LimbTooLarge, "beyond what"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_summand_is_told(liar: type[Driver], what: str) -> None:
    runs = [quiet(seed, drivers={3: liar}, rounds=1).run() for seed in range(3)]
    told = [str(event) for started in runs for life in started.swarm.lives for _, event in life.seen]
    assert any(what in line for line in told)


class Miscounts(Driver):
    """Has a defect: its sum differs from everyone's."""

    def _do(self, action: Action) -> Input | None:
        if isinstance(action, Finish) and self._memory.epoch[0] == 0:
            self._memory.view(Place("result", action.segment, len(self._memory.state))).cast("i")[0] = int(self.net.me[:6], 16)
        return super()._do(action)


def test_a_run_whose_peers_cannot_agree_on_the_statistics_ends_and_says_so() -> None:
    for seed in range(3):
        started = quiet(seed, late=(), peers=5, drivers=dict.fromkeys(range(5), Miscounts)).run()
        assert started.finished
        rounds = committed(started.swarm)
        assert max(rounds) == 0
        assert rounds[0].void
        ends = [life.driver.exit for life in started.swarm.current.values()]
        assert {end and end.code for end in ends} == {STOPPED}
        assert all(end is not None and "could not agree on the statistics" in end.why for end in ends)
        told = [life.driver.trainer.told for life in started.swarm.lives if isinstance(life.driver.trainer, Preparing)]
        assert told == [[]] * 5, "nobody is given what is not agreed on"

"""What protocol.md promises, checked against what a simulated run did. Each check names its invariant.

Nothing here trusts the machine's own account where bytes can be had: models are digested again, sums are recomputed in plain numpy
integers, and what was committed is read from the ledger's log.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyfl import events
from pyfl.aggregation import Strategy, fixedpoint
from pyfl.aggregation.strategy import server_step
from pyfl.rounds.records import ROUND, RoundRecord
from pyfl.simulation import plain
from pyfl.simulation.ledger_log import committed, committees_before, run_of
from pyfl.simulation.playing import Started
from pyfl.simulation.probe import STRIDE
from pyfl.simulation.residuals import check_residuals, trained
from pyfl.simulation.scenario import Scenario
from pyfl.simulation.swarm import SimulatedPeer, SimulatedSwarm
from pyfl.simulation.waits import check_epochs, check_excuse, check_exits, check_removals
from pyfl.training.layout import Layout
from pyfl.wire import digests

__all__ = ["check", "expected_result"]

PROBE_ERROR = 3e-6  # fixed point's rounding of a probe, for each round's float32 weights that it was added to

Flat = NDArray[np.float32]


def check(started: Started, *, hostile: frozenset[int] = frozenset()) -> None:
    """I1 to I6 on a run that ended. `hostile` peers' own lives are not looked at."""
    swarm, scenario = started.swarm, started.scenario
    rounds = committed(swarm)
    lives = [life for life in swarm.lives if swarm.index_of(life.overlay.me) not in hostile]
    for life in lives:
        check_life(life, rounds)
    check_counted(swarm, scenario, rounds, lives)
    check_contributors(rounds, lives)
    check_residuals(swarm, scenario, rounds, lives)
    check_holders(swarm)
    check_epochs(swarm, rounds)
    check_removals(swarm, scenario, lives)
    if started.finished:
        check_exits(swarm, rounds, lives)
    else:
        check_excuse(swarm, scenario, rounds)


def check_life(life: SimulatedPeer, rounds: dict[int, RoundRecord]) -> None:
    """I1, I2: whatever a peer installed is what was committed, in model and server state, by the bytes it holds."""
    name = life.overlay.name
    for number, model in life.models.items():
        if number <= 0 and number not in rounds and model_0(life, number):
            continue
        assert number in rounds, f"I2: {name} installed round {number}, which is not committed"
        held = digests.of_model(model, life.states[number])
        assert held[0] == rounds[number].model, f"I1: {name} holds another model for round {number}"
        assert held[1] == rounds[number].state, f"I1: {name} holds another server state for round {number}"
    order = list(life.models)
    assert order == sorted(order), f"I2: {name} went back to an older model: {order}"


def model_0(life: SimulatedPeer, number: int) -> bool:
    """It is what the run's record says that all begin with."""
    run = life.driver.machine.view.run
    return run is not None and number == run.first


def check_counted(swarm: SimulatedSwarm, scenario: Scenario, rounds: dict[int, RoundRecord], lives: list[SimulatedPeer]) -> None:
    """I3, I4: each round's model and state are what its record and the listed contributors' updates make them, bit for bit."""
    models = {number: model for life in lives for number, model in life.models.items()}
    states = {number: state for life in lives for number, state in life.states.items()}
    for number, record in rounds.items():
        if number <= 0 or number - 1 not in models:
            continue
        if record.void:
            assert not record.contributors, f"I3: round {number} is void and lists contributors"
            assert (record.model, record.state) == (record.base_model, record.base_state), f"I3: void round {number} has a new model"
            continue
        assert record.contributors, f"I3: round {number} has a new model and no contributors"
        if number in models and scenario.strategy.name == "fedavg":
            check_probes(swarm, scenario, record, models[number] - models[number - 1])
        if not all(old - 1 in models for old in record.residuals.values()):
            continue
        model, state = expected_result(swarm, scenario, record, models, states[number - 1])
        assert (record.model, record.state) == (model, state), (
            f"I4: round {number}'s result is not the function of its record and its contributors {record.contributors}"
        )


def check_probes(swarm: SimulatedSwarm, scenario: Scenario, record: RoundRecord, update: Flat) -> None:
    """I3: in every segment the coordinates of the listed contributors carry their share of the samples, and no other does."""
    counted = {swarm.index_of(peer) for peer in record.contributors}
    samples = sum(scenario.samples[index] for index in counted)
    expected = np.zeros(STRIDE)
    for index in counted:
        updates = 2 if swarm.peer_of(index) in record.residuals else 1  # its own, and one that an earlier round did not count
        expected[index] = updates * scenario.samples[index] / samples
    rows = update[: len(update) // STRIDE * STRIDE].reshape(-1, STRIDE)
    off = np.abs(rows - expected).max()
    assert off < PROBE_ERROR * max(1, record.number), (
        f"I3: round {record.number} lists {sorted(counted)} and its segments count {rows[0].round(4).tolist()} (off by {off})"
    )


def expected_result(
    swarm: SimulatedSwarm, scenario: Scenario, record: RoundRecord, models: dict[int, Flat], state: list[Flat]
) -> tuple[str, str]:
    """The digests of a round's model and server state, recomputed without trees: one integer sum in plain numpy.

    `models`: by round. An old update that a contributor brings is trained once more from the model that it was trained from.
    """
    layout = scenario.trainer(0).layout
    bounds = np.asarray(layout.bounds, np.int64)
    base = models[record.number - 1]
    total = np.zeros(layout.size, np.int32)
    for peer in record.contributors:
        member = record.member(peer)
        assert member is not None, f"I3: {peer} is listed as a contributor of round {record.number} and is no member"
        update, samples = trained(swarm, scenario, peer, record.number, base)
        assert member.samples == samples, f"I3: {peer} counts with {member.samples} samples, it has {samples}"
        if member.residual:
            update = update + trained(swarm, scenario, peer, member.residual, models[member.residual - 1])[0]
        multipliers = fixedpoint.multipliers(member.samples / record.total_samples, record.exponents)
        total = plain.add(total, plain.quantise(update, bounds, multipliers, fixedpoint.clips(record.caps)))
    ratio = np.uint32(record.ratio_bits).view(np.float32)
    delta = plain.dequantise(total, bounds, fixedpoint.inverse_scales(record.exponents), ratio)
    return _after_step(scenario.strategy, layout, base, delta, state)


def _after_step(strategy: Strategy, layout: Layout, base: Flat, delta: Flat, state: list[Flat]) -> tuple[str, str]:
    assert layout.trainable_size == layout.size, "probes are trainable throughout"
    step = server_step(strategy)
    own = step.state_vectors
    out, after = np.empty_like(base), [np.empty_like(v) for v in state[:own]]
    step(out, base, delta, state[:own], after)
    after += state[own:]  # what was prepared stays as it is
    return digests.of_model(out, after)


def check_contributors(rounds: dict[int, RoundRecord], lives: list[SimulatedPeer]) -> None:
    """I6: whoever contributed to round r held the committed r-1, by its digest, before it trained."""
    began: dict[str, set[int]] = {}
    for life in lives:
        held = -2
        for _, event in life.seen:
            if isinstance(event, events.ModelInstalled):
                held = event.round
            if isinstance(event, events.TrainingStarted):
                assert held == event.round - 1, f"I6: {life.overlay.name} trained round {event.round} on round {held}"
                began.setdefault(life.overlay.me, set()).add(event.round)
    honest = {life.overlay.me for life in lives}
    for number, record in rounds.items():
        for peer in set(record.contributors) & honest:
            assert number in began.get(peer, set()), f"I6: {peer} contributed to round {number} and never trained it"


def check_holders(swarm: SimulatedSwarm) -> None:
    """I2: when a round is committed a majority of the committee holds its result, and not only by the record's word."""
    history = swarm.network.committed_history
    held: dict[tuple[int, int], set[str]] = {}
    for life in swarm.lives:
        for _, event in life.seen:
            if isinstance(event, events.ResultHeld):
                held.setdefault((event.round, event.epoch), set()).add(life.overlay.me)
    for index, key, _, value in history:
        if key != ROUND:
            continue
        record = msgspec.msgpack.decode(value, type=RoundRecord)
        if record.phase != "committed" or record.void or record.number == run_of(swarm).first:
            continue
        holders = set(record.holders)
        assert holders <= held.get((record.number, record.epoch), set()), f"I2: round {record.number} names holders that are none"
        # a coordinator may learn of the newest committee a moment after its own write
        committees = committees_before(swarm, index)[-2:]
        assert any(2 * len(holders & voters) > len(voters) for voters in committees), (
            f"I2: round {record.number} was committed with {sorted(holders)}, no majority of {[sorted(v) for v in committees]}"
        )

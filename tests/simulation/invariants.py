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
from pyfl.rounds.buffers import Buffers
from pyfl.rounds.coordinator import VOIDS_TO_STOP
from pyfl.rounds.machine import REFUSED, STOPPED
from pyfl.rounds.records import CONTROL, ROUND, RUN, ControlRecord, RoundRecord, RunRecord
from pyfl.simulation import SimulatedPeer, SimulatedSwarm
from pyfl.training.layout import Layout
from pyfl.training.trainer import RoundInfo
from pyfl.wire import digests
from tests.kernels import reference
from tests.simulation.drawn import STRIDE, DrawnRun, Started

__all__ = ["check", "committed", "expected_result", "run_of"]

PROBE_ERROR = 3e-6  # fixed point's rounding of a probe, for each round's float32 weights that it was added to
LEFT_S = 60.0  # a run has this long after its last fault for each round that is left, of which most take two

Flat = NDArray[np.float32]


def check(started: Started, *, hostile: frozenset[int] = frozenset()) -> None:
    """I1 to I6 on a run that ended. `hostile` peers' own lives are not looked at."""
    swarm, drawn = started.swarm, started.drawn
    rounds = committed(swarm)
    lives = [life for life in swarm.lives if swarm.index_of(life.overlay.me) not in hostile]
    for life in lives:
        check_life(life, rounds)
    check_counted(swarm, drawn, rounds, lives)
    check_contributors(swarm, rounds, lives)
    check_holders(swarm)
    check_epochs(swarm, rounds)
    if started.finished:
        check_exits(swarm, rounds, lives)
    else:
        check_excuse(swarm, drawn, rounds)


def records(swarm: SimulatedSwarm) -> list[RoundRecord]:
    """Every round record that the committee took, in order."""
    return [msgspec.msgpack.decode(value, type=RoundRecord) for _, key, _, value in swarm.network.committed_history if key == ROUND]


def run_of(swarm: SimulatedSwarm) -> RunRecord:
    """What the swarm trains, as the committee took it."""
    return next(msgspec.msgpack.decode(value, type=RunRecord) for _, key, _, value in swarm.network.committed_history if key == RUN)


def committed(swarm: SimulatedSwarm) -> dict[int, RoundRecord]:
    """The committed record of every round. I2: there is one a round, in order, and (round, epoch) never goes back."""
    rounds: dict[int, RoundRecord] = {}
    before: RoundRecord | None = None
    for record in records(swarm):
        if before is None:
            assert record.number == run_of(swarm).first, f"I2: the first record is of round {record.number}"
        elif record.number == before.number:
            assert before.phase != "committed", f"I2: round {record.number} was written again after its commit"
            assert record.epoch >= before.epoch, f"I2: round {record.number} went from epoch {before.epoch} to {record.epoch}"
            assert record.attempt >= before.attempt, f"I2: attempt {record.attempt} after {before.attempt}"
            assert (record.base_model, record.base_state) == (before.base_model, before.base_state), (
                f"I2: round {record.number} changed what it starts from"
            )
        else:
            assert record.number == before.number + 1, f"I2: round {record.number} after {before.number}"
            assert before.phase == "committed", f"I2: round {record.number} opened before {before.number} was committed"
            assert (record.base_model, record.base_state) == (before.model, before.state), (
                f"I2: round {record.number} starts from another model than was committed"
            )
        if record.phase == "committed":
            rounds[record.number] = record
        before = record
    return rounds


def check_life(life: SimulatedPeer, rounds: dict[int, RoundRecord]) -> None:
    """I1, I2: whatever a peer installed is what was committed, in model and server state, by the bytes it holds."""
    name = life.overlay.name
    for number, model in life.models.items():
        if number <= 0 and number not in rounds and model_0(life, number):
            continue
        assert number in rounds, f"I2: {name} installed round {number}, which is not committed"
        held = Buffers.digest_of([digests.of_vector(model), *(digests.of_vector(v) for v in life.states[number])])
        assert held[0] == rounds[number].model, f"I1: {name} holds another model for round {number}"
        assert held[1] == rounds[number].state, f"I1: {name} holds another server state for round {number}"
    order = list(life.models)
    assert order == sorted(order), f"I2: {name} went back to an older model: {order}"


def model_0(life: SimulatedPeer, number: int) -> bool:
    """It is what the run's record says that all begin with."""
    run = life.driver.machine.view.run
    return run is not None and number == run.first


def check_counted(swarm: SimulatedSwarm, drawn: DrawnRun, rounds: dict[int, RoundRecord], lives: list[SimulatedPeer]) -> None:
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
        if number in models and drawn.strategy.name == "fedavg":
            check_probes(swarm, drawn, record, models[number] - models[number - 1])
        model, state = expected_result(swarm, drawn, record, models[number - 1], states[number - 1])
        assert (record.model, record.state) == (model, state), (
            f"I4: round {number}'s result is not the function of its record and its contributors {record.contributors}"
        )


def check_probes(swarm: SimulatedSwarm, drawn: DrawnRun, record: RoundRecord, update: Flat) -> None:
    """I3: in every segment the coordinates of the listed contributors carry their share of the samples, and no other does."""
    counted = {swarm.index_of(peer) for peer in record.contributors}
    samples = sum(drawn.samples[index] for index in counted)
    expected = np.zeros(STRIDE)
    for index in counted:
        expected[index] = drawn.samples[index] / samples
    rows = update[: len(update) // STRIDE * STRIDE].reshape(-1, STRIDE)
    off = np.abs(rows - expected).max()
    assert off < PROBE_ERROR * max(1, record.number), (
        f"I3: round {record.number} lists {sorted(counted)} and its segments count {rows[0].round(4).tolist()} (off by {off})"
    )


def expected_result(swarm: SimulatedSwarm, drawn: DrawnRun, record: RoundRecord, base: Flat, state: list[Flat]) -> tuple[str, str]:
    """The digests of a round's model and server state, recomputed without trees: one integer sum in plain numpy."""
    layout = drawn.trainer(0).layout
    bounds = np.asarray(layout.bounds, np.int64)
    total = np.zeros(layout.size, np.int32)
    info = RoundInfo(record.number, drawn.rounds, record.attempt - 1, drawn.seed)
    for peer in record.contributors:
        member = record.member(peer)
        assert member is not None, f"I3: {peer} is listed as a contributor of round {record.number} and is no member"
        out = base.copy()
        outcome = drawn.trainer(swarm.index_of(peer)).train(base, out, info, lambda: False)
        assert member.samples == outcome.samples, f"I3: {peer} counts with {member.samples} samples, it has {outcome.samples}"
        multipliers = fixedpoint.multipliers(member.samples / record.total_samples, record.exponents)
        total = reference.add(total, reference.quantise(out - base, bounds, multipliers, fixedpoint.clips(record.caps)))
    ratio = np.uint32(record.ratio_bits).view(np.float32)
    delta = reference.dequantise(total, bounds, fixedpoint.inverse_scales(record.exponents), ratio)
    return _after_step(drawn.strategy, layout, base, delta, state)


def _after_step(strategy: Strategy, layout: Layout, base: Flat, delta: Flat, state: list[Flat]) -> tuple[str, str]:
    assert layout.trainable_size == layout.size, "probes are trainable throughout"
    step = server_step(strategy)
    own = step.state_vectors
    out, after = np.empty_like(base), [np.empty_like(v) for v in state[:own]]
    step(out, base, delta, state[:own], after)
    after += state[own:]  # what was prepared stays as it is
    return Buffers.digest_of([digests.of_vector(out), *(digests.of_vector(v) for v in after)])


def check_contributors(swarm: SimulatedSwarm, rounds: dict[int, RoundRecord], lives: list[SimulatedPeer]) -> None:
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


def committees_before(swarm: SimulatedSwarm, index: int) -> list[set[str]]:
    """The committees that the ledger had before an entry, oldest first."""
    disks = {disk for life in swarm.lives if (disk := life.overlay.process.disk)}
    log = max((disk.log for disk in disks), key=len)
    changes = [entry.voters for entry in log[: index - 1] if entry.voters is not None]
    return [{disk.peer for disk in voters} for voters in (swarm.network.ledger.raft.founders, *changes)]


def check_epochs(swarm: SimulatedSwarm, rounds: dict[int, RoundRecord]) -> None:
    """I5: a round is begun again because of faults, and not for ever."""
    faults = len([what for _, what in swarm.network.fault_log if not what.startswith("skipped")])
    for number, record in rounds.items():
        assert record.epoch <= 3 + 2 * faults, f"I5: round {number} took {record.epoch} epochs; there were {faults} faults"


def check_exits(swarm: SimulatedSwarm, rounds: dict[int, RoundRecord], lives: list[SimulatedPeer]) -> None:
    """I5: whoever is alive at the end ended for the reason that the records give."""
    controls = [value for _, key, _, value in swarm.network.committed_history if key == CONTROL]
    control = msgspec.msgpack.decode(controls[-1], type=ControlRecord) if controls else ControlRecord()
    last = rounds[max(rounds)] if rounds else None
    for life in lives:
        exit_ = life.driver.exit
        if exit_ is None:
            continue
        if exit_.code == REFUSED and life.overlay.me in control.kicked:
            continue
        assert last is not None, f"I5: {life.overlay.name} ended with {exit_} before any round"
        stopped = last.voids >= VOIDS_TO_STOP
        assert exit_.code in ((0, STOPPED) if last.voids else (0,)), f"{life.overlay.name} ended with {exit_}"
        over = control.state == "finished" or last.number >= swarm.rounds
        assert stopped or over, f"I5: {life.overlay.name} left a run that goes on: {exit_}"


def check_excuse(swarm: SimulatedSwarm, drawn: DrawnRun, rounds: dict[int, RoundRecord]) -> None:
    """I5: a run stands still only for what its peers cannot supply, and every one of them says what it waits for.

    That is the committee's majority, the peers to begin with, or the contributors that it was told to have.
    """
    left = [p for p in swarm.current.values() if p.overlay.process.running and p.driver.exit is None]
    waiting = {p.overlay.name: p.waits_for() for p in left}
    raft = swarm.network.ledger.raft
    working = sum(1 for disk in raft.voters if (holder := raft.holder(disk)) is not None and holder.running)
    majority_lost = 2 * working <= len(raft.voters)
    never_began = not rounds and len(left) < swarm.min_peers
    number = max(rounds, default=-1) + 1
    able = [p for p in left if number not in drawn.bad_rounds[swarm.index_of(p.overlay.me)]]
    too_few = len(able) < drawn.min_contributors
    assert majority_lost or never_began or too_few or model_lost(swarm, rounds), (
        f"I5: nothing is missing, and yet the run stands still at {sorted(rounds)}: {waiting}"
    )
    silent = [name for name, what in waiting.items() if not what]
    assert not silent, f"I5: {silent} do not say what they wait for: {waiting}"


def model_lost(swarm: SimulatedSwarm, rounds: dict[int, RoundRecord]) -> bool:
    """Every disk and every process that held the last committed model is gone (I2 needs one holder)."""
    if not rounds:
        return False
    last = rounds[max(rounds)]
    return not any(
        (life.driver.machine.member.have.model, life.driver.machine.member.have.state) == (last.model, last.state)
        or any(event.round == last.number for _, event in life.seen if isinstance(event, events.ResultHeld))
        for life in swarm.current.values()
        if life.overlay.process.running and life.driver.exit is None
    )

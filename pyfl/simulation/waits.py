"""I5 on a simulated run: it ended for a reason that the records give, or stands still for one, and removed nobody without any."""

from __future__ import annotations

from pyfl import events
from pyfl.errors import CheckpointError
from pyfl.rounds.coordinator import VOIDS_TO_STOP
from pyfl.rounds.machine import REFUSED, STOPPED
from pyfl.rounds.records import RoundRecord
from pyfl.simulation.ledger_log import last_control
from pyfl.simulation.scenario import Scenario
from pyfl.simulation.swarm import SimulatedPeer, SimulatedSwarm

__all__ = ["check_epochs", "check_excuse", "check_exits", "check_removals"]


def check_epochs(swarm: SimulatedSwarm, rounds: dict[int, RoundRecord]) -> None:
    """I5: a round is begun again because of faults, and not for ever."""
    faults = len(done(swarm))
    for number, record in rounds.items():
        assert record.epoch <= 3 + 2 * faults, f"I5: round {number} took {record.epoch} epochs; there were {faults} faults"


def check_exits(swarm: SimulatedSwarm, rounds: dict[int, RoundRecord], lives: list[SimulatedPeer]) -> None:
    """I5: whoever is alive at the end ended for the reason that the records give."""
    control = last_control(swarm)
    last = rounds[max(rounds)] if rounds else None
    for life in lives:
        exit_ = life.driver.exit
        if exit_ is None:
            continue
        if exit_.code == REFUSED and life.overlay.me in control.kicked:
            continue
        if exit_.code == CheckpointError.exit_code and any(what.startswith(f"disk {life.overlay.name}") for _, what in done(swarm)):
            continue  # a voter that cannot make a result durable ends
        assert last is not None, f"I5: {life.overlay.name} ended with {exit_} before any round"
        stopped = last.voids >= VOIDS_TO_STOP
        assert exit_.code in ((0, STOPPED) if last.voids else (0,)), f"{life.overlay.name} ended with {exit_}"
        over = control.state == "finished" or last.number >= swarm.rounds
        assert stopped or over, f"I5: {life.overlay.name} left a run that goes on: {exit_}"


def check_excuse(swarm: SimulatedSwarm, scenario: Scenario, rounds: dict[int, RoundRecord]) -> None:
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
    able = [p for p in left if number not in scenario.bad_rounds[swarm.index_of(p.overlay.me)]]
    too_few = len(able) < scenario.min_contributors
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


def check_removals(swarm: SimulatedSwarm, scenario: Scenario, lives: list[SimulatedPeer]) -> None:
    """Nobody is removed from a round before anything has gone wrong: a swarm that deadlocks must not pass for one that was hurt."""
    if scenario.straggler >= 0 or scenario.loss or scenario.drivers:
        return
    kicked = last_control(swarm).kicked
    trouble_s = min((when for when, _ in done(swarm)), default=float("inf"))
    for life in lives:
        for when, event in life.seen:
            if isinstance(event, events.PeerRemoved) and when < trouble_s and event.peer not in kicked:
                name = swarm.current[event.peer].overlay.name
                raise AssertionError(f"I5: {name} was removed from round {event.round} before anything went wrong: {event.why}")


def done(swarm: SimulatedSwarm) -> list[tuple[float, str]]:
    """What was done to the network and its peers, and when; not what was skipped."""
    return [(when, what) for when, what in swarm.network.fault_log if not what.startswith("skipped")]

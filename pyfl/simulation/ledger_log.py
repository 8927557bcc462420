"""What the committee of a simulated run took, read from the ledger's log, and that it took it in order (I2)."""

from __future__ import annotations

import msgspec

from pyfl.rounds.records import CONTROL, ROUND, RUN, ControlRecord, RoundRecord, RunRecord
from pyfl.simulation.swarm import SimulatedSwarm

__all__ = ["committed", "committees_before", "last_control", "records", "run_of"]


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


def committees_before(swarm: SimulatedSwarm, index: int) -> list[set[str]]:
    """The committees that the ledger had before an entry, oldest first."""
    disks = {disk for life in swarm.lives if (disk := life.overlay.process.disk)}
    log = max((disk.log for disk in disks), key=len)
    changes = [entry.voters for entry in log[: index - 1] if entry.voters is not None]
    return [{disk.peer for disk in voters} for voters in (swarm.network.ledger.raft.founders, *changes)]


def last_control(swarm: SimulatedSwarm) -> ControlRecord:
    """What operators asked for last, and whether the run is over."""
    controls = [value for _, key, _, value in swarm.network.committed_history if key == CONTROL]
    return msgspec.msgpack.decode(controls[-1], type=ControlRecord) if controls else ControlRecord()

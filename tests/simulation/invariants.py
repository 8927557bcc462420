"""What protocol.md promises, checked against what a simulated run did. Each check names its invariant."""

from __future__ import annotations

import msgspec
import numpy as np

from pyfl.apps.onehot import OneHotTrainer
from pyfl.rounds.records import ROUND, RoundRecord
from pyfl.simulation import SimulatedSwarm

STRIDE = 16
VALUES = 400
STEPS_OF_A_COUNT = 3e-6  # a probe of 1/n is right to fixed point's rounding


def probe(index: int) -> OneHotTrainer:
    """Peer `index` adds 1 at coordinate `index` of every 16 values, which is every segment of a simulated run."""
    return OneHotTrainer(VALUES * 4, index, stride=STRIDE, tensors=3, train_s=0.0, samples=1)


def committed(swarm: SimulatedSwarm) -> dict[int, RoundRecord]:
    """The committed record of every round. I2: there is one a round, and they are in order."""
    rounds: dict[int, RoundRecord] = {}
    last = -1
    for _, key, _, value in swarm.network.committed_history:
        if key != ROUND:
            continue
        record = msgspec.msgpack.decode(value, type=RoundRecord)
        assert record.number in (last, last + 1), f"I2: round {record.number} after {last}"
        last = record.number
        if record.phase == "committed":
            assert record.number not in rounds, f"I2: round {record.number} was committed twice"
            rounds[record.number] = record
        else:
            assert record.number not in rounds, f"I2: round {record.number} was opened after its commit"
    return rounds


def check(swarm: SimulatedSwarm, *, finished: bool) -> None:
    """I1 to I6 on a run that ended; `finished`: whether it ended before its time was up (I5)."""
    rounds = committed(swarm)
    for life in swarm.lives:
        for number, digest in life.installed.items():
            assert number in rounds or number == 0, f"I2: {life.overlay.name} installed round {number}, which is not committed"
            if number in rounds:
                assert digest == rounds[number].model, f"I1: {life.overlay.name} holds another model for round {number}"
    models = {n: m for life in swarm.lives for n, m in life.models.items()}
    for number, record in rounds.items():
        if number and number in models and number - 1 in models:
            check_probes(swarm, record, models[number] - models[number - 1])
    if not finished:
        check_excuse(swarm, rounds)
    for life in swarm.lives:
        exit_ = life.driver.exit
        assert exit_ is None or exit_.code == 0, f"{life.overlay.name} ended with {exit_}"


def check_probes(swarm: SimulatedSwarm, record: RoundRecord, update: np.ndarray) -> None:
    """I3: in every segment the coordinates of exactly the listed contributors carry 1/n; I4: the same in all of them."""
    counted = {swarm.index_of(peer) for peer in record.contributors}
    expected = np.zeros(STRIDE)
    for index in counted:
        expected[index] = 1.0 / len(counted)
    rows = update[: len(update) // STRIDE * STRIDE].reshape(-1, STRIDE)
    off = np.abs(rows - expected).max()
    assert off < STEPS_OF_A_COUNT * max(1, record.number), (
        f"I3: round {record.number} lists {sorted(counted)} and its segments count {rows[0].round(4).tolist()} (off by {off})"
    )


def check_excuse(swarm: SimulatedSwarm, rounds: dict[int, RoundRecord]) -> None:
    """I5: a run that does not end lacks its committee's majority, or the peers it was told to begin with; and every peer says so."""
    left = [p for p in swarm.current.values() if p.overlay.alive and p.driver.exit is None]
    waiting = {p.overlay.name: p.waits_for() for p in left}
    raft = swarm.network.ledger.raft
    working = sum(1 for disk in raft.voters if (holder := raft.holder(disk)) is not None and holder.running)
    majority_lost = 2 * working <= len(raft.voters)
    never_began = not rounds and len(left) < swarm.min_peers
    assert majority_lost or never_began, f"I5: nothing is missing, and yet the run stands still: {waiting}"
    silent = [name for name, what in waiting.items() if not what]
    assert not silent, f"I5: {silent} do not say what they wait for: {waiting}"

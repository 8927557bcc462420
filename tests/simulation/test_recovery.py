"""An operator recovers a ledger that lacks a round which a peer holds: that peer gives its model up and takes what the ledger has."""

from __future__ import annotations

from functools import partial

import pytest

from pyfl import events
from pyfl.aggregation import fedadam
from pyfl.overlay.protocol import Committee
from pyfl.overlay.simulated import SimulatedNetwork
from pyfl.overlay.simulated.faults import FaultPlan
from pyfl.overlay.simulated.ledger import Ledger
from pyfl.overlay.simulated.process import Process
from pyfl.overlay.simulated.raft import Disk, Entry
from pyfl.simulation import SimulatedSwarm
from pyfl.simulation.ledger_log import committed
from pyfl.simulation.playing import Started, start
from pyfl.simulation.scenario import Scenario
from pyfl.tiers import rotated

LEAP = 1 << 20
"""As `versionLeap` in gocore/ledger/recover.go."""
ROUNDS = 6


def recover(network: SimulatedNetwork, who: str, patch: pytest.MonkeyPatch) -> None:
    """As `pyfl recover` on a peer that has ended: its records begin a ledger of the next epoch, in which it alone votes."""
    ledger, keeper = network.ledger, network.process_of(who)
    raft, disk = ledger.raft, keeper.disk
    for leadership in list(raft.leaderships):
        raft.step_down(leadership)
    heard = [entry for entry in ledger.history if entry[0] <= keeper.applied]
    newest = {key: (version + LEAP, value) for _, key, version, value in heard}
    first = Entry(disk.term)
    first.results = tuple((key, version, value) for key, (version, value) in newest.items())
    ledger.history[:] = heard
    raft.committed[:], raft.state, disk.log = [first], newest, [first]
    raft.founders = raft.voters = (disk,)
    ledger._told = 1

    def tell(self: Ledger, process: Process, voters: tuple[Disk, ...]) -> None:
        event = Committee(sorted(voter.peer for voter in voters), self.name, 2)
        network.schedule(0.0, partial(process.deliver, event))

    patch.setattr(Ledger, "_tell_committee", tell)
    for overlay in network.overlays:
        process = overlay.process
        process.applied = 0
        if process is not keeper:
            process.disk = Disk(process.number, process.peer, LEAP + process.number)
            ledger._tell_committee(process, raft.voters)  # before any record of it, as gocore/ledger/lineage.go has it


def swarm_of(peers: int) -> Started:
    nothing: frozenset[int] = frozenset()
    return start(Scenario(
        seed=3, peers=peers, late=(), strategy=fedadam(), tiers=rotated(2), min_contributors=0, samples=(1, 2, 3, 4, 5)[:peers],
        bad_rounds=(nothing,) * peers, straggler=-1, loss=0.0, faults=FaultPlan(()), rounds=ROUNDS,
    ))  # fmt: skip


def until_known(swarm: SimulatedSwarm, peer: str, number: int, phase: str) -> None:
    def known() -> bool:
        record = swarm.current[peer].driver.machine.view.round
        return record is not None and (record.number, record.phase) == (number, phase)

    assert swarm.network.run(until=swarm.network.now + 100.0, stop=known), f"{peer} never knew round {number} to {phase}"


def test_a_peer_gives_up_the_model_that_the_recovered_ledger_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    started = swarm_of(5)
    swarm, network = started.swarm, started.swarm.network
    behind, ahead, *others = (f"peer-{index}" for index in range(5))
    until_known(swarm, network.overlay(behind).me, 3, "train")
    network.partition([[ahead, *others], [behind]])
    holder = network.overlay(ahead).me
    until_known(swarm, holder, 4, "train")
    for dead in others:
        network.kill(dead)
    network.kill(behind)
    lost = committed(swarm)[3]
    assert swarm.current[holder].installed[3] == lost.model

    recover(network, behind, monkeypatch)
    assert max(committed(swarm)) == 2, "round 3 is not in what was recovered"
    network.heal()
    keeper = network.restart(behind).me
    started.run(network.now + 400.0)

    assert started.finished
    again = committed(swarm)
    assert sorted(again) == list(range(ROUNDS + 1))
    faults = {e.error for _, e in swarm.current[holder].seen if isinstance(e, events.FaultSeen) and e.where == "ledger recovered"}
    assert [lost.model[:12] in fault and "its last is round 2" in fault for fault in faults] == [True]
    assert again[3].model != lost.model, "round 3 was trained again, by those who were left"
    assert set(again[3].contributors) | set(again[4].contributors) == {holder, keeper}
    for number in range(3, ROUNDS + 1):
        assert swarm.current[holder].installed[number] == swarm.current[keeper].installed[number] == again[number].model

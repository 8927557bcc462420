"""The simulated ledger under random faults: what was promised of every seed."""

from __future__ import annotations

from functools import partial

import pytest

from pyfl.overlay.protocol import BarrierDone, Leader, Record, Write, WriteDone
from pyfl.overlay.simulated import FaultPlan, SimulatedNetwork, SimulatedOverlay

CALM_S = 60.0


class Writer:
    """Runs on one process: while it leads it counts `round` up, now and then with a second record."""

    def __init__(self, run: Run, overlay: SimulatedOverlay) -> None:
        self.run = run
        self.overlay = overlay
        self.leads = False
        self.ready = False
        self.barrier = 0
        self.writes: dict[int, tuple[Write, ...]] = {}
        self.seen: list[tuple[int, str, int, bytes]] = []
        overlay.announce(b"", eligible=True)
        overlay.on_event = self.on_event

    def on_event(self, event: object) -> None:
        if isinstance(event, Leader):
            self.leads, self.ready = event.me, False
            if event.me:
                self.barrier = self.overlay.barrier()
                self.committed_at_barrier = len(self.run.network.committed_history)
        elif isinstance(event, BarrierDone):
            if event.ok and event.request == self.barrier:
                self.ready = True
                due = self.run.network.committed_history[: self.committed_at_barrier]
                newest = {key: version for _, key, version, _ in due}
                for key, version in newest.items():
                    record = self.overlay.read(key)
                    assert record is not None
                    assert record.version >= version, "a barrier ended before the records committed before it"
                self.write()
        elif isinstance(event, Record):
            self.seen.append((event.index, event.key, event.version, event.value))
        elif isinstance(event, WriteDone):
            self.run.ended(self, event)
            if event.ok:
                self.overlay.schedule(0.1, self.write)

    def write(self) -> None:
        if not (self.leads and self.ready and self.overlay.alive) or self.run.quiet:
            return
        self.run.serial += 1
        value = b"%d" % self.run.serial
        writes = [Write("round", self.version("round"), value)]
        if self.run.serial % 3 == 0:
            writes.append(Write("history", self.version("history"), value))
        self.writes[self.overlay.write(writes)] = tuple(writes)

    def control(self) -> None:
        if self.overlay.alive:
            self.run.serial += 1
            write = Write("control", self.version("control"), b"%d" % self.run.serial)
            self.writes[self.overlay.write([write])] = (write,)

    def version(self, key: str) -> int:
        record = self.overlay.read(key)
        return 0 if record is None else record.version


class Run:
    """A swarm under a plan of faults."""

    def __init__(self, seed: int, peers: int = 6) -> None:
        self.network = SimulatedNetwork(seed)
        self.serial = 0
        self.quiet = False
        self.outcomes: list[tuple[tuple[Write, ...], WriteDone]] = []
        self.writers: list[Writer] = []
        self.network.on_started = self.start
        for number in range(peers):
            self.start(self.network.add_peer(found=number == 0))
        self.plan = FaultPlan.random(seed, self.network.overlays, 30.0)
        self.network.run(until=5.0)
        self.plan.apply(self.network)
        for k in range(20):
            name = self.network.overlays[k % peers].name
            self.network.schedule(1.7 * k, partial(self.control, name))

    def control(self, name: str) -> None:
        for writer in self.writers:
            if writer.overlay is self.network.overlay(name) and writer.overlay.process.running:
                writer.overlay.process.run(writer.control)

    def start(self, overlay: SimulatedOverlay) -> None:
        self.writers.append(Writer(self, overlay))

    def ended(self, writer: Writer, event: WriteDone) -> None:
        self.outcomes.append((writer.writes.pop(event.request), event))

    def finish(self) -> None:
        self.network.run(until=60.0)
        self.network.heal()
        self.network.run(until=90.0)
        self.quiet = True
        self.network.run(until=90.0 + CALM_S)

    def goes_on(self) -> bool:
        """Whether the committee still commits after all."""
        self.quiet = False
        before = len(self.network.committed_history)
        for writer in self.writers:
            if writer.overlay.alive:
                writer.overlay.schedule(0.0, writer.write)
        self.network.run(until=self.network.now + 20.0)
        return len(self.network.committed_history) > before


def check(run: Run) -> None:
    network = run.network
    history = network.committed_history
    versions: dict[str, int] = {}
    for _, key, version, _ in history:
        assert version == versions.get(key, 0) + 1, "a record's versions count up one by one"
        versions[key] = version
    assert [index for index, *_ in history] == sorted(index for index, *_ in history)
    values = {(key, value): index for index, key, _, value in history}
    assert len(values) == len(history), "nothing is committed twice"
    for writes, event in run.outcomes:
        present = [(write.key, write.value) in values for write in writes]
        assert all(present) or not any(present), "a write is all or none"
        if event.ok:
            assert all(present), "a write that succeeded is committed"
            assert len({values[write.key, write.value] for write in writes}) == 1
        elif event.error in ("conflict", "denied", "not_leader"):
            assert not any(present), f"a write that ended in {event.error} is not committed"
    committed = set(history)
    for writer in run.writers:
        assert set(writer.seen) <= committed, "a peer sees what is committed, and nothing else"
        indexes = [index for index, *_ in writer.seen]
        assert indexes == sorted(indexes), "records come in index order"
        for key in versions:
            mine = [version for _, name, version, _ in writer.seen if name == key]
            assert mine == sorted(set(mine)), "versions only rise"
    state = {key: (version, value) for _, key, version, value in history}
    for overlay in network.alive:
        for key, (version, value) in state.items():
            record = overlay.read(key)
            assert record is not None, f"{overlay.name} never heard of {key}"
            assert (record.version, record.value) == (version, value), f"{overlay.name} is behind after {CALM_S} s of calm"


@pytest.mark.parametrize("block", range(10))
def test_every_seed_keeps_what_the_ledger_promises(block: int) -> None:
    for seed in range(block * 30, block * 30 + 30):
        run = Run(seed, peers=4 + seed % 6)
        try:
            run.finish()
            check(run)
            assert run.goes_on(), "after the faults the committee still commits"
        except Exception as error:
            told = "\n".join(f"{when:8.3f} {what}" for when, what in run.network.fault_log)
            raise AssertionError(f"seed {seed}: {error}\n{run.plan}\n-- what happened\n{told}") from error

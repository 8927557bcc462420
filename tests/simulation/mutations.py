"""Promises broken on purpose, one at a time: what the simulation must find."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import pytest

from pyfl.overlay.simulated.network import SimulatedNetwork
from pyfl.overlay.simulated.raft import Disk, Entry, Raft
from pyfl.rounds import drafts
from pyfl.rounds.actions import Action
from pyfl.rounds.buffers import Buffers
from pyfl.rounds.coordinator import Coordinator
from pyfl.rounds.records import RoundRecord
from pyfl.rounds.reduction import Reduction

__all__ = ["MUTATIONS", "Mutation", "mutated"]

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Mutation:
    """A change of the code, what it must be found as, and within how many seeds from 0."""

    name: str
    patch: Patch
    rules: tuple[str, ...]
    seeds: int
    scenario: str = ""
    """Seeds of this story instead of drawn ones: what it takes comes together too rarely."""


def fence(patch: pytest.MonkeyPatch) -> None:
    """The ledger takes a write whatever its writer had read, and a new coordinator writes before it has read everything."""
    apply = Raft._apply

    def unfenced(self: Raft, log: list[Entry], length: int) -> None:
        for entry in log[min(len(self.committed), length) : length]:
            for write in entry.writes:
                write_version(write, self.state.get(write.key, (0, b""))[0])
        apply(self, log, length)

    patch.setattr(Raft, "_apply", unfenced)

    def impatient(self: Coordinator) -> list[Action]:
        actions = lead(self)
        self._active = True
        return actions

    lead = Coordinator.lead
    patch.setattr(Coordinator, "lead", impatient)


def write_version(write: object, version: int) -> None:
    msgspec.structs.force_setattr(write, "version", version)  # type: ignore[arg-type]


def contribution(patch: pytest.MonkeyPatch) -> None:
    """A round that is begun again takes the update as it is then: half of what it was."""
    begin = Buffers.begin

    def again(self: Buffers, record: RoundRecord, me: str) -> None:
        if record.epoch > 1 and record.number > 0:
            self.contribution *= 0.5
        begin(self, record, me)

    patch.setattr(Buffers, "begin", again)


def commit_of_one(patch: pytest.MonkeyPatch) -> None:
    """One who holds a result is enough for a commit."""
    patch.setattr(drafts, "majority", lambda count: 1)


def incarnation(patch: pytest.MonkeyPatch) -> None:
    """A voter whose disk was wiped comes back as the same raft server, with an empty log and a vote."""

    def same(self: SimulatedNetwork, number: int, peer: str) -> Disk:
        old = self._processes.get(number)
        if old is None:
            return new_disk(self, number, peer)
        old.disk.log, old.disk.term = [], 0
        for leadership in self.ledger.raft.leaderships:
            leadership.match.pop(old.disk, None)
        return old.disk

    new_disk = SimulatedNetwork._new_disk
    patch.setattr(SimulatedNetwork, "_new_disk", same)


def descending(patch: pytest.MonkeyPatch) -> None:
    """Every other member posts its receives from the highest segment down."""
    init = Reduction.__init__

    def turned(self: Reduction, record: RoundRecord, me: str, *rest: object) -> None:
        init(self, record, me, *rest)  # type: ignore[arg-type]
        if int(me[:8], 16) % 2:
            self._partials.reverse()

    patch.setattr(Reduction, "__init__", turned)


MUTATIONS = (
    Mutation("fence on the version that was read", fence, ("I2", "I1"), 40),
    Mutation("contribution immutability", contribution, ("I4", "I3"), 40),
    Mutation("commit without a majority of digests", commit_of_one, ("I2",), 60),
    Mutation("log incarnation", incarnation, ("I2",), 5, "a_voter_loses_its_log"),
    Mutation("ascending receives", descending, ("I5",), 60),
)


@contextmanager
def mutated(mutation: Mutation) -> Generator[None, None, None]:
    """The code is broken so meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        mutation.patch(patch)
        yield

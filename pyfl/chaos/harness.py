"""A chaos run: real peers train, faults are done to them on time, and at the end their records are judged."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import msgspec

from pyfl.chaos.aim import Swarm, choose
from pyfl.chaos.chronicle import Chronicle
from pyfl.chaos.committee import ask, voters_of
from pyfl.chaos.conclusion import conclude
from pyfl.chaos.injection import Injected, Injector
from pyfl.chaos.pacing import Pacing
from pyfl.chaos.plan import TAKES_LIFE, draw
from pyfl.chaos.process import ChaosPeer, Exit
from pyfl.chaos.report import fault_line, injection_line, round_line
from pyfl.chaos.settings import STRIDE, ChaosSettings
from pyfl.chaos.split import split
from pyfl.chaos.stage import Stage
from pyfl.chaos.timing import measure
from pyfl.chaos.verdict import Violation
from pyfl.chaos.witness import Witness
from pyfl.events import ModelInstalled
from pyfl.peer.status import Status

__all__ = ["chaos"]

STEP_S = 0.02
LEAVE_S = 10.0
SETTLE_S = 5.0
AFTERMATH_S = 5.0
CLEAN_EXITS = (0, 130)

Line = dict[str, Any]


def chaos(settings: ChaosSettings) -> Generator[Line]:
    """`started`, then `round`, `injected`, `fault` and `exit` as they come, last `stall`, `violation` and `summary`.

    Raises `ChaosError` when a fault cannot be done here. Close the generator to end early: everything that was made is removed.
    """
    with Stage(settings) as stage:
        yield from _Run(settings, stage).lines()


class _Run:
    def __init__(self, settings: ChaosSettings, stage: Stage) -> None:
        self._settings, self._stage, self._peers = settings, stage, stage.peers
        self._chronicle = Chronicle()
        self._witness = Witness(settings.peers, STRIDE if settings.probes else 0)
        plan = draw(settings.faults, settings.rounds, settings.per_round, settings.coordinator_share, settings.seed, settings.split)
        self._pacing = Pacing(plan, settings.per_round, settings.train_s)
        self._injector = Injector(stage, self._chronicle, settings.lasts_s, settings.heal_after_s)
        self._injected: list[Injected] = []
        self._exits: list[Exit] = []
        self._broken: list[Violation] = []
        self._without_room: set[int] = set()
        """Peers that ended for want of room: they are started again when there is some."""
        self._told_round = 0
        self._told_faults: set[int] = set()

    def lines(self) -> Iterator[Line]:
        """The whole run."""
        settings, stage = self._settings, self._stage
        yield {
            "event": "started", "peers": settings.peers, "rounds": settings.rounds, "faults": list(settings.faults),
            "planned": self._pacing.left, "seed": settings.seed, "app": settings.app_text, "network": stage.network.kind,
            "disk": stage.disks.kind if stage.disks else "", "dir": str(settings.directory),
        }  # fmt: skip
        for peer in self._peers:
            peer.start()
        began = time.monotonic()
        while not self._over():
            self._hear()
            yield from self._take_exits()
            self._end(self._injector.end_due(time.monotonic()))
            yield from self._do_what_is_due()
            yield from self._news()
            if time.monotonic() - self._moved(began) > settings.give_up_s:
                yield from self._hang()
                break
        self._end(self._injector.end_all(time.monotonic()))
        yield from self._news(last=True)
        self._leave()
        yield from conclude(settings, stage, self._chronicle, self._witness, self._injected, self._exits, self._broken, self._pacing.left)

    def _over(self) -> bool:
        last = self._settings.rounds
        return self._chronicle.committed >= last and not self._injector.active and all(peer.have >= last for peer in self._peers)

    def _hear(self) -> None:
        for peer, event in self._stage.listen(STEP_S):
            self._chronicle.take(peer.index, event)
            if isinstance(event.data, ModelInstalled) and event.data.how not in ("initial", "void"):
                self._witness.expect(peer, event.data.round)
        self._witness.look(self._peers)

    def _take_exits(self) -> Iterator[Line]:
        """Processes that have ended by themselves are told of, and started again."""
        active = self._injector.active
        down = {index for injected in active if injected.planned.kind in TAKES_LIFE for index in injected.victims}
        for peer in self._peers:
            code = None if peer.index in down else peer.ended()
            if code is None:
                continue
            under = next((injected.planned.kind for injected in self._lately() if peer.index in injected.victims), "")
            away = under == "disk" and any(peer.index in injected.victims for injected in active)
            if away:
                self._without_room.add(peer.index)
            exited = Exit(peer.name, code, peer.last_words(), under)
            self._exits.append(exited)
            if not away:
                self._stage.again(peer, wiped=False)
            yield {"event": "exit", **msgspec.structs.asdict(exited)}

    def _lately(self) -> list[Injected]:
        """Faults that a process may end of now, the newest first: a write that found no room is told of when there is some again."""
        now = time.monotonic()
        return [i for i in reversed(self._injected) if i.ended is None or (i.planned.kind == "disk" and now - i.ended < AFTERMATH_S)]

    def _end(self, ended: list[Injected]) -> None:
        for index in {victim for injected in ended for victim in injected.victims} & self._without_room:
            self._without_room.discard(index)
            self._stage.again(self._peers[index], wiped=False)

    # ---- faults

    def _do_what_is_due(self) -> Iterator[Line]:
        due = self._pacing.due(self._chronicle, len(self._peers), time.monotonic())
        if due is None:
            return
        planned, number, phase = due
        swarm = self._swarm()
        victims = choose(planned, swarm)
        if victims is None:
            self._pacing.put_off(number)
            return
        self._pacing.take(number)
        injected = Injected(
            len(self._injected) + 1, planned, number, phase, victims, frozenset(self._peers[index].id for index in victims),
            swarm.coordinator in victims, time.monotonic(), self._chronicle.committed,
        )  # fmt: skip
        self._injector.inject(injected)
        self._injected.append(injected)
        yield injection_line(injected)

    def _swarm(self) -> Swarm:
        under = {index for injected in self._injector.active for index in injected.victims}
        target = {i: injected.target_round for injected in self._injected for i in self._touched(injected) if injected.ended is not None}
        well = frozenset(p.index for p in self._peers if p.running and p.index not in under and p.have >= target.get(p.index, 0))
        index_of = self._chronicle.index_of
        asked = voters_of(self._peers[index] for index in sorted(well))
        voters = frozenset(index_of[peer] for peer in asked if peer in index_of)
        return Swarm(len(self._peers), well, voters, index_of.get(self._chronicle.coordinator))

    def _touched(self, injected: Injected) -> Iterable[int]:
        """Whoever may lack a model since: of a partition either side."""
        return range(len(self._peers)) if injected.planned.kind == "partition" else injected.victims

    # ---- how it goes

    def _news(self, *, last: bool = False) -> Iterator[Line]:
        """Rounds that were committed, and faults of which all is known; with `last` also those of which it is not."""
        fresh = self._told_round < self._chronicle.committed
        while self._told_round < self._chronicle.committed:
            self._told_round += 1
            commit = self._chronicle.commits.get(self._told_round)
            if commit is not None:
                yield round_line(commit)
        for injected in self._injected if fresh or last else ():
            if injected.number in self._told_faults:
                continue
            interrupted = any(later.number > injected.number and set(later.victims) & set(injected.victims) for later in self._injected)
            timing = measure(injected, self._chronicle.said, self._injected)
            sides = split(injected, self._chronicle.said, len(self._peers), self._injected)
            whole = None not in (timing.repair_s, timing.rejoin_s) and (sides is None or sides.equal_s is not None)
            if last or interrupted or whole:
                self._told_faults.add(injected.number)
                yield fault_line(injected, timing, sides)

    def _moved(self, began: float) -> float:
        """When something last happened that lets the run go on."""
        now = time.monotonic()
        return max([began, *self._chronicle.committed_at.values(), *(injected.ended or now for injected in self._injected)])

    def _hang(self) -> Iterator[Line]:
        said = "; ".join(f"{peer.name}: {_doing(ask(peer))}" for peer in self._peers)
        text = f"Nothing has moved for {self._settings.give_up_s:g} s. {said}."
        self._broken.append(Violation("I5", self._chronicle.committed + 1, text))
        yield {"event": "hang", "text": text}

    def _settled(self, peer: ChaosPeer) -> Status | None:
        """What a peer says of itself once it has taken the last round into its status, at most some seconds from now."""
        deadline = time.monotonic() + SETTLE_S
        while (status := ask(peer)) is not None and status.have < self._settings.rounds and time.monotonic() < deadline:
            self._hear()
        return status

    def _leave(self) -> None:
        """Compare what all hold at the end, by their own word, and let them go."""
        last = self._chronicle.commits.get(self._settings.rounds)
        for peer in self._peers:
            status = self._settled(peer)
            if status is None:
                self._broken.append(Violation("I5", self._settings.rounds, f"{peer.name} does not answer at the end."))
            elif last is not None and (status.have, status.digest) != (last.round, last.digest):
                text = f"{peer.name} ends with round {status.have} as {status.digest[:16]}; round {last.round} is {last.digest[:16]}."
                self._broken.append(Violation("I1", last.round, text))
        for peer in self._peers:
            peer.ask_to_leave()
        deadline = time.monotonic() + LEAVE_S
        while any(peer.output is not None for peer in self._peers) and time.monotonic() < deadline:
            self._hear()
        for peer in self._peers:
            code = peer.wait(max(0.0, deadline - time.monotonic()))
            if code not in CLEAN_EXITS:
                how = "had to be killed" if code is None else f"ended with exit code {code}"
                self._broken.append(
                    Violation("end", self._settings.rounds, f"{peer.name} was asked to leave and {how}: {peer.last_words()}")
                )


def _doing(status: Status | None) -> str:
    if status is None:
        return "no answer"
    what = f"waits for {status.waiting}" if status.waiting else status.doing
    return f"has round {status.have}; round {status.round} {status.phase}; {what}"

"""The bridge between a peer's loop and everyone else in its process: snapshots out, commands in. See `status.PeerHandle`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

import pyfl
from pyfl.errors import ControlError, PyflError
from pyfl.events import Stamped
from pyfl.overlay.protocol import Overlay
from pyfl.peer.held_model import HeldModel, copy_held
from pyfl.peer.http_address import LABEL, resolved
from pyfl.peer.journal import Journal
from pyfl.peer.local import LocalView
from pyfl.peer.settings import PeerSettings
from pyfl.peer.status import Local, PeerEntry, RoundEntry, Status
from pyfl.rounds.actions import Exit
from pyfl.rounds.driver import Driver
from pyfl.rounds.records import ControlRecord, RunRecord
from pyfl.tiers import plan_segment
from pyfl.wire.segments import cut

if TYPE_CHECKING:
    from pyfl.apps import App

__all__ = ["Handle"]

Command = Callable[[Driver], None]


class Handle:
    """`refresh` and `commands` belong to the loop's thread; the rest may be called by any."""

    def __init__(
        self, driver: Driver, journal: Journal, settings: PeerSettings, net: Overlay, app: Callable[[RunRecord], App], http: str = ""
    ) -> None:
        """`app` makes the app of a run; `http`: what this peer's API is advertised as."""
        self._driver, self._journal, self._settings, self._net, self._app, self._http = driver, journal, settings, net, app, http
        self._began = time.monotonic()
        self._local = LocalView(journal)
        self._commands: deque[Command] = deque()
        self._status, self._peers, self._rounds = self._take_status(), self._take_peers(), self._take_rounds()

    # ---- the loop's side

    def refresh(self) -> None:
        """Take new snapshots."""
        self._local.refresh()
        self._status, self._peers, self._rounds = self._take_status(), self._take_peers(), self._take_rounds()

    def commands(self) -> list[Command]:
        """What was asked since the last call, to be run in the loop."""
        todo: list[Command] = []
        while self._commands:
            todo.append(self._commands.popleft())
        return todo

    def _take_status(self) -> Status:
        view, member = self._driver.machine.view, self._driver.machine.member
        run, record = view.run, view.round
        last, best = view.history.rounds[-1] if view.history.rounds else None, view.history.best
        wait = self._driver.machine.wait()
        return Status(
            peer=self._net.me, name=self._settings.name, address=self._net.address, version=pyfl.__version__,
            run=run.run if run else "", app=run.app if run else "", rounds=run.rounds if run else 0,
            round=record.number if record else -1, epoch=record.epoch if record else 0, phase=record.phase if record else "",
            have=max(-1, member.have.round), digest=member.have.model, accuracy=last.accuracy if last else None,
            loss=last.loss if last else None, coordinator=view.leader, voters=view.voters, control=view.control.state,
            waiting=wait.what, waiting_until_s=wait.until_s, waiting_then=wait.then, parameters=run.layout.size if run else 0,
            uptime_s=time.monotonic() - self._began, counters=self._counters(), http=resolved(self._http, self._net.address),
            doing=self._phase(self._net.me), samples=self._local.samples, committed_at=self._local.committed_at,
            contributors=last.contributors if last else (),
            best_round=best.round if best else 0, best_value=best.value if best else None, best_measure=best.measure if best else "",
            ended=view.control.why if view.control.state == "finished" else "",
        )  # fmt: skip

    def _counters(self) -> dict[str, float]:
        try:
            return {**self._net.stats(), "bytes_lent": float(self._driver.bytes_lent)}
        except PyflError:  # closing: the last snapshot has no counters
            return {}

    def _take_peers(self) -> list[PeerEntry]:
        machine = self._driver.machine
        view, roster = machine.view, machine.coordinator.roster
        own = PeerEntry(
            self._net.me, self._settings.name, self._net.address, me=True, coordinator=view.leading, voter=self._net.me in view.voters,
            phase=self._phase(self._net.me), have=max(-1, machine.member.have.round), samples=self._samples(self._net.me),
            labels=self._settings.labels, http=resolved(self._http, self._net.address),
        )  # fmt: skip
        others = [
            PeerEntry(
                peer, info.name, info.address, coordinator=peer == view.leader, voter=peer in view.voters,
                phase="suspected" if peer in roster.suspected else self._phase(peer),
                have=max(-1, roster.have(peer)) if view.leading else self._known_have(peer),
                samples=self._samples(peer), labels={key: value for key, value in info.labels.items() if key != LABEL},
                http=resolved(info.labels.get(LABEL, ""), info.address, self._net.address), via=view.via.get(peer, ""),
            )
            for peer, info in sorted(view.peers.items(), key=lambda item: item[1].name or item[0])
        ]  # fmt: skip
        return [own, *others]

    def _known_have(self, peer: str) -> int:
        record = self._driver.machine.view.round
        return record.number if record and record.phase == "committed" and peer in record.holders else -1

    def _samples(self, peer: str) -> int:
        record = self._driver.machine.view.round
        member = record.member(peer) if record else None
        return member.samples if member else 0

    def _phase(self, peer: str) -> str:
        record = self._driver.machine.view.round
        if record is None:
            return "joining"
        if record.phase == "train":
            return "training" if peer in record.expected else "waiting"
        if record.phase == "reduce":
            return "reducing" if record.member(peer) else "waiting"
        return "holding" if peer in record.holders else "waiting"

    def _take_rounds(self) -> list[RoundEntry]:
        history = self._driver.machine.view.history
        best = history.best.round if history.best else 0
        return [RoundEntry(*(getattr(r, name) for name in r.__struct_fields__), best=r.round == best > 0) for r in history.rounds]

    # ---- everyone else's side

    def status(self) -> Status:
        """See `PeerHandle`."""
        return self._status

    def peers(self) -> list[PeerEntry]:
        """See `PeerHandle`."""
        return self._peers

    def rounds(self) -> list[RoundEntry]:
        """See `PeerHandle`."""
        return self._rounds

    def tree(self, segment: int) -> dict[str, object]:
        """See `PeerHandle`."""
        view = self._driver.machine.view
        run, record = view.run, view.reduced
        if run is None or record is None:
            return {}
        if not 0 <= segment < len(cut(run.layout.size)):
            raise ControlError(f"Segment {segment} does not exist; the model has segments 0 to {len(cut(run.layout.size)) - 1}.")
        slots = {m.slot: m.peer for m in record.members}
        plan = plan_segment(run.tiers, record.slots, frozenset(slots), segment, frozenset(record.avoid))
        parents = {slots[s]: slots[plan.parent[s]] for s in slots if plan.parent[s] >= 0}
        return {"segment": segment, "root": slots[plan.root], "parent": parents}

    def events(self, last: int, timeout_s: float) -> list[Stamped]:
        """See `PeerHandle`."""
        return self._journal.since(last, timeout_s)

    def watch(self, ring: Callable[[], None]) -> Callable[[], None]:
        """See `PeerHandle`."""
        return self._journal.watch(ring)

    def local(self) -> Local:
        """See `PeerHandle`."""
        run = self._driver.machine.view.run
        return self._local.told(
            self._net.me, self._settings.name, self._driver.trainer, run and (lambda: self._app(run)), self._status.counters
        )

    def model(self) -> HeldModel:
        """See `PeerHandle`."""
        return copy_held(self._driver, self._app)

    def control(self, command: str, argument: str = "") -> str:
        """See `PeerHandle`."""
        if command == "leave":
            self.ask(lambda driver: _end(driver, "an operator asked this peer to leave"))
            return "This peer leaves the swarm."
        states = {"pause": "paused", "resume": "running", "stop": "stopping"}
        if command in states:
            state = states[command]
            self.ask(lambda driver: driver.control(msgspec.structs.replace(driver.machine.view.control, state=state, by=self._net.me)))
            return {
                "pause": "The swarm pauses when the present round is committed.",
                "resume": "The swarm goes on.",
                "stop": "The swarm ends its run when the present round is committed.",
            }[command]
        if command == "kick":
            return self._kick(argument)
        raise ControlError(f"Command {command!r} is not known; expected pause, resume, leave, kick or stop.")

    def _kick(self, argument: str) -> str:
        named = [p for p in self._peers if argument and p.name == argument]
        found = named or [p for p in self._peers if argument and p.peer.startswith(argument)]
        if len(found) != 1:
            names = ", ".join(p.name or p.peer for p in self._peers)
            raise ControlError(f"{argument!r} names {len(found)} peers; expected the name or the beginning of the id of one of {names}.")
        peer = found[0].peer

        def kick(driver: Driver) -> None:
            control: ControlRecord = driver.machine.view.control
            driver.control(msgspec.structs.replace(control, kicked=(*control.kicked, peer), by=self._net.me))

        self.ask(kick)
        return f"{found[0].name or peer} is removed from the swarm."

    def ask(self, command: Command) -> None:
        """Have the loop run a command."""
        self._commands.append(command)
        self._net.wake()


def _end(driver: Driver, why: str) -> None:
    driver.exit = driver.exit or Exit(0, why)

"""One peer as a running process: overlay, driver, trainer thread, journal, socket; from its settings to its exit code."""

from __future__ import annotations

import secrets
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import structlog

from pyfl.checkpoints import CheckpointStore
from pyfl.errors import PyflError
from pyfl.events import FaultSeen, ModelInstalled, ObservedEvent, ResourcesUsed, Stamped
from pyfl.overlay import protocol as overlay
from pyfl.overlay.config import OverlayConfig
from pyfl.peer.handle import Handle
from pyfl.peer.journal import Journal
from pyfl.peer.resources import congestion_control, cpu_seconds, resident_bytes
from pyfl.peer.run_plan import RunPlan
from pyfl.peer.settings import PeerSettings
from pyfl.peer.swarm_key import find_swarm_key
from pyfl.peer.worker import ThreadWorker
from pyfl.rounds.driver import Driver
from pyfl.training.trainer import FlatTrainer

if TYPE_CHECKING:
    from pyfl.overlay.real import RealOverlay

__all__ = ["Ending", "run"]

TICK_S = 0.25
LEAVE_S = 2.0
UNREACHABLE, MAJORITY_LOST, REFUSED = 4, 6, 7

_log = structlog.get_logger("pyfl.peer")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a peer ended: its exit code (interfaces.md) and why."""

    code: int
    why: str


def run(
    settings: PeerSettings,
    follower: Callable[[Stamped], None] | None = None,
    trainer: FlatTrainer | None = None,
) -> Ending:
    """Be a peer until the run ends, the operator ends it, or it cannot go on.

    `follower` is called with every event, in the peer's own thread; `trainer` is used instead of the app's. In the main thread SIGINT
    and SIGTERM make it leave the swarm cleanly; a second one ends the process at once.
    """
    signals = _Signals()
    try:
        with signals:
            return _Process(settings, follower, trainer, signals).run()
    except PyflError as error:
        return Ending(error.exit_code, str(error))


class _Signals:
    """The first SIGINT or SIGTERM asks for a clean end; the second is left to the system's default."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)

    def _take(self, number: int, _: FrameType | None) -> None:
        self.received = number
        signal.signal(number, signal.SIG_DFL)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


class _Process:
    def __init__(
        self,
        settings: PeerSettings,
        follower: Callable[[Stamped], None] | None,
        trainer: FlatTrainer | None,
        signals: _Signals,
    ) -> None:
        self._settings, self._trainer, self._signals = settings, trainer, signals
        self._dir = Path(settings.data_dir or f"pyfl-data/{settings.listen.replace(':', '-')}")
        self._dir.mkdir(parents=True, exist_ok=True)
        self._founds = not settings.join
        key = find_swarm_key(settings.swarm_key, self._dir, create=self._founds and not (self._dir / "ledger").exists())
        self._plan = RunPlan(settings, trainer)
        self._net = self._open(key)
        self._journal = Journal(self._dir / "events.jsonl", self._net.me, follower)
        self._worker = ThreadWorker(self._net)
        self._driver = Driver(
            self._net, self._worker, self._plan.build, time.monotonic, self._observe,
            secrets.randbits(62), self._checkpoints(), durable=settings.durability == "full",
        )  # fmt: skip
        self._handle = Handle(self._driver, self._journal, settings, self._net)
        self._rss_base = resident_bytes()[0]
        self._joined = self._founds
        self._lost_since: float | None = None

    def _open(self, key: str) -> RealOverlay:
        from pyfl.overlay.real import RealOverlay

        settings = self._settings
        return RealOverlay(
            OverlayConfig(
                listen=settings.listen, advertise=settings.advertise, name=settings.name, labels=settings.labels, swarm_key=key,
                identity_file=str(self._dir / "identity.key"), data_dir=str(self._dir), join=settings.join, found=self._founds,
                expect=settings.expect, voters=settings.voters, join_timeout_ms=int(settings.join_timeout_s * 1000),
                fsync=settings.durability == "full", heartbeat_ms=settings.heartbeat_ms, congestion=settings.congestion,
            )
        )  # fmt: skip

    def _checkpoints(self) -> CheckpointStore | None:
        if not self._settings.checkpoints:
            return None
        return CheckpointStore(
            self._dir / "checkpoints",
            durable=self._settings.durability == "full",
            warn=lambda text: self._observe(FaultSeen("checkpoint", text)),
        )

    def _observe(self, event: ObservedEvent) -> None:
        self._journal.record(event)
        if self._settings.measure and isinstance(event, ModelInstalled):
            used = ResourcesUsed(
                event.round, int(self._net.stats()["bytes_sent"]), self._rss_base, resident_bytes()[1], cpu_seconds(),
                congestion_control(self._settings.congestion),
            )  # fmt: skip
            self._journal.record(used)

    def run(self) -> Ending:
        """The whole life."""
        _log.info("listening", peer=self._net.me, address=self._net.address, data_dir=str(self._dir))
        server = self._serve()
        try:
            proposal, trainer = self._plan.prepare(self._net.me, founding=self._founds)
            self._driver.start(proposal, trainer)
            ending = self._loop()
            _log.info("leaving", code=ending.code, why=ending.why)
            if self._joined:
                self._leave()
            return ending
        finally:
            if server is not None:
                server.stop()
            self._worker.close()
            self._net.close()
            self._journal.close()

    def _serve(self):
        if not self._settings.serve:
            return None
        from pyfl.serving import serve

        return serve(self._handle, self._dir / "http.sock")

    def _leave(self) -> None:
        try:
            self._net.leave(LEAVE_S)
        except PyflError as error:
            _log.info("left without everyone knowing", error=str(error))

    def _loop(self) -> Ending:
        driver, next_tick = self._driver, time.monotonic()
        while driver.exit is None:
            now = time.monotonic()
            if now >= next_tick:
                driver.tick()
                self._handle.refresh()
                next_tick = now + TICK_S
            event = self._net.next_event(max(0.0, next_tick - now))
            if event is not None:
                ending = self._watch(event)
                if ending:
                    return ending
                driver.handle(event)
            for result in self._worker.results():
                driver.handle(result)
            for command in self._handle.commands():
                command(driver)
            ending = self._overdue()
            if ending:
                return ending
        return Ending(driver.exit.code, driver.exit.why)

    def _watch(self, event: overlay.Event) -> Ending | None:
        """What concerns the process rather than the rounds."""
        match event:
            case overlay.Joined():
                self._joined = True
            case overlay.JoinFailed() if not self._joined:
                tried = "; ".join(f"{f.address}: {f.error}" for f in event.failures)
                if event.failures and all(f.refused for f in event.failures):
                    return Ending(REFUSED, f"Refused by the swarm: {tried}. Is this the swarm's key?")
                waited = f"{self._settings.join_timeout_s:g} s"
                return Ending(UNREACHABLE, f"No bootstrap address could be reached in {waited}: {tried}. Check address and port.")
            case overlay.LedgerLost():
                self._lost_since = self._lost_since or time.monotonic()
            case overlay.LedgerFound():
                self._lost_since = None
            case _:
                pass
        return None

    def _overdue(self) -> Ending | None:
        received = self._signals.received
        if received:
            return Ending(128 + received, f"ended by {signal.Signals(received).name}")
        give_up = self._settings.give_up_s
        if give_up and self._lost_since and time.monotonic() - self._lost_since > give_up:
            return Ending(MAJORITY_LOST, f"The committee's majority was away for {give_up:g} s; start its peers again, or `pyfl recover`.")
        return None

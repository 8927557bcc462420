"""One peer as a running process: overlay, driver, trainer thread, journal, socket; from its settings to its exit code."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import structlog

from pyfl.checkpoints import CheckpointStore
from pyfl.errors import ConfigError, PyflError
from pyfl.events import FaultSeen, ModelInstalled, ObservedEvent, ResourcesUsed, Stamped
from pyfl.overlay import protocol as overlay
from pyfl.overlay.config import OverlayConfig
from pyfl.overlay.protocol import Overlay
from pyfl.peer import http_address
from pyfl.peer.acquaintances import Acquaintances
from pyfl.peer.handle import Handle
from pyfl.peer.http_token import find_http_token
from pyfl.peer.join_token import expand_tokens
from pyfl.peer.journal import Journal
from pyfl.peer.last_resort import LastResort
from pyfl.peer.resources import congestion_control, cpu_seconds, resident_bytes
from pyfl.peer.run_plan import RunPlan
from pyfl.peer.settings import PeerSettings
from pyfl.peer.swarm_key import find_swarm_key
from pyfl.peer.worker import PeerWorker, ThreadWorker
from pyfl.rounds.driver import Driver
from pyfl.rounds.records import RunRecord
from pyfl.training.trainer import FlatTrainer

if TYPE_CHECKING:
    import socket

    from pyfl.apps import App
    from pyfl.overlay.real import RealOverlay
    from pyfl.serving.server import ApiServer

__all__ = ["MAJORITY_LOST", "REFUSED", "UNREACHABLE", "Ending", "Process", "run"]

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
        with signals, LastResort() as last:
            plan = RunPlan(settings, trainer)
            process = Process(settings, follower, received=lambda: signals.received)
            try:
                _log.info("listening", peer=process.net.me, address=process.net.address, data_dir=str(process.data_dir))
                process.start()
                process.begin(plan)
                ending = process.loop()
                _log.info("leaving", code=ending.code, why=ending.why)
                last.start(ending.code, ending.why)
                process.leave()
                return ending
            finally:
                process.close()
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


class Process:
    """One peer from opening its overlay to closing it. `loop` belongs to one thread; `end` may be called by any.

    A run may be given later than the peer is made (`begin`): until then it is a member of the swarm that has no model yet.
    """

    def __init__(
        self,
        settings: PeerSettings,
        follower: Callable[[Stamped], None] | None = None,
        worker: Callable[[Overlay], PeerWorker] = ThreadWorker,
        received: Callable[[], int] = lambda: 0,
    ) -> None:
        """`follower` is called with every event in the loop's thread; `received`: the number of a signal to end by, or 0."""
        settings, token_key = expand_tokens(settings)
        self._settings, self._received = settings, received
        self.data_dir = Path(settings.data_dir or f"pyfl-data/{settings.listen.replace(':', '-')}")
        _make_writable(self.data_dir)
        self.founds = not settings.join or settings.expect > 1  # with `expect`, the lowest id of so many does
        self._resumes = (self.data_dir / "ledger" / "raft.db").exists()
        key = find_swarm_key(settings.swarm_key, self.data_dir, create=self.founds and not self._resumes, token_key=token_key)
        self._plan: RunPlan | None = None
        self._faults: deque[FaultSeen] = deque()
        """Told by any thread, observed by the loop's."""
        self._met = Acquaintances(self.data_dir / "peers.json", lambda text: self._faults.append(FaultSeen("peers.json", text)))
        self._http = self._bind_http()  # before the overlay opens, which tells its port to the others
        with ExitStack() as opened:
            if self._http is not None:
                opened.callback(self._http.close)
            self.net = self._open(key)
            opened.callback(self.net.close)
            self._journal = Journal(
                self.data_dir / "events.jsonl", self.net.me, follower, lambda text: self._faults.append(FaultSeen("journal", text))
            )
            opened.callback(self._journal.close)
            self.worker = worker(self.net)
            opened.callback(self.worker.close)
            self.driver = Driver(
                self.net, self.worker, self._build, time.monotonic, self._observe,
                secrets.randbits(62), self._checkpoints(), durable=settings.durability == "full", stay=settings.stay,
                give_up_s=settings.give_up_s,
            )  # fmt: skip
            self.handle = Handle(self.driver, self._journal, settings, self.net, self._app, self._http_label())
            self._rss_base = resident_bytes()[0]
            self.joined = threading.Event()
            """Set when this peer is a member of the swarm; a founder is from the beginning."""
            if self.founds or self._met.known:  # once a member, a peer tries for ever
                self.joined.set()
            self._lost_since: float | None = None
            self._names: dict[str, str] = {}
            """Of everyone met in this life: those who died are still called by name."""
            self._asked: Ending | None = None
            self._server = self._serve(key)
            opened.pop_all()  # all of it is there: `close` gives it back

    def _bind_http(self) -> socket.socket | None:
        if not self._settings.http:
            return None
        from pyfl.serving.listeners import listen_tcp

        return listen_tcp(*http_address.parse(self._settings.http))

    def _http_label(self) -> str:
        """What others are told of this peer's API; empty without one."""
        if self._http is None:
            return ""
        host, port = self._http.getsockname()[:2]
        return http_address.advertised(host, port, self._settings.advertise)

    def _labels(self) -> dict[str, str]:
        label = self._http_label()
        return {**self._settings.labels, **({http_address.LABEL: label} if label else {})}

    def _open(self, key: str) -> RealOverlay:
        from pyfl.overlay.real import RealOverlay

        settings = self._settings
        return RealOverlay(
            OverlayConfig(
                listen=settings.listen, advertise=settings.advertise, name=settings.name, labels=self._labels(), swarm_key=key,
                identity_file=str(self.data_dir / "identity.key"), data_dir=str(self.data_dir), join=self._whom_to_ask(),
                found=self.founds and not self._met.known,  # with its ledger lost, a founder that had company joins it
                expect=settings.expect, voters=settings.voters, join_timeout_ms=int(settings.join_timeout_s * 1000),
                fsync=settings.durability == "full", heartbeat_ms=settings.heartbeat_ms, congestion=settings.congestion,
            )
        )  # fmt: skip

    def _whom_to_ask(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self._settings.join, *self._met.addresses()]))

    def _checkpoints(self) -> CheckpointStore | None:
        if not self._settings.checkpoints:
            return None
        return CheckpointStore(
            self.data_dir / "checkpoints",
            durable=self._settings.durability == "full",
            warn=lambda text: self._faults.append(FaultSeen("checkpoint", text)),
        )

    def _tell_faults(self) -> None:
        while self._faults:
            self._observe(self._faults.popleft())

    def _observe(self, event: ObservedEvent) -> None:
        self._journal.record(event)
        if self._settings.measure and isinstance(event, ModelInstalled):
            used = ResourcesUsed(
                event.round, int(self.net.stats()["bytes_sent"]), self._rss_base, resident_bytes()[1], cpu_seconds(),
                congestion_control(self._settings.congestion), self.driver.bytes_lent,
            )  # fmt: skip
            self._journal.record(used)

    def _build(self, run: RunRecord) -> FlatTrainer:
        if self._plan is None:
            raise AssertionError("the worker builds before there is a plan")
        return self._plan.build(run)

    def _app(self, run: RunRecord) -> App:
        if self._plan is None:
            raise AssertionError("there is a model to ask before there is a plan")
        return self._plan.app(run)

    def _serve(self, key: str) -> ApiServer | None:
        socket_path = self.data_dir / "http.sock" if self._settings.serve else None
        if socket_path is None and self._http is None:
            return None
        from pyfl.serving import serve

        token = find_http_token(self.data_dir, key) if self._http is not None else ""
        return serve(self.handle, socket_path, self._http, token)

    # ---- a life

    def start(self) -> None:
        """Take in who is there already; before `loop`, or in its thread."""
        self.driver.start()

    def begin(self, plan: RunPlan) -> None:
        """Train by this plan; from any thread. The worker must not build before this was called."""
        self._plan = plan
        proposal, trainer = plan.prepare(self.net.me, founding=self.founds and not self._resumes)
        self.handle.ask(lambda driver: driver.begin(proposal, trainer))

    def end(self, ending: Ending) -> None:
        """Have the loop return; from any thread."""
        self._asked = self._asked or ending
        self.net.wake()

    def leave(self) -> None:
        """Say goodbye to the swarm, at most 2 s."""
        if not self.joined.is_set():
            return
        try:
            self.net.leave(LEAVE_S)
        except PyflError as error:
            _log.info("left without everyone knowing", error=str(error))

    def close(self) -> None:
        """Give everything back; after `loop` has returned."""
        if self._server is not None:
            self._server.stop()
        self.worker.close()
        self.net.close()
        self._tell_faults()
        self._journal.close()

    def loop(self) -> Ending:
        """Live until the run ends, somebody ends it, or it cannot go on."""
        driver, next_tick = self.driver, time.monotonic()
        while driver.exit is None:
            now = time.monotonic()
            if now >= next_tick:
                driver.tick()
                self._found_again()
                self._tell_faults()
                self.handle.refresh()
                next_tick = now + TICK_S
            event = self.net.next_event(max(0.0, next_tick - now))
            if event is not None:
                ending = self._watch(event)
                if ending:
                    return ending
                driver.handle(event)
            for result in self.worker.results():
                driver.handle(result)
            for command in self.handle.commands():
                command(driver)
            ending = self._overdue()
            if ending:
                return ending
        self.handle.refresh()  # the end itself is what is told last
        return Ending(driver.exit.code, driver.exit.why)

    def _found_again(self) -> None:
        """A founder that died before it wrote the run finds a ledger without one, and founds after all."""
        machine, plan = self.driver.machine, self._plan
        if self.founds and self._resumes and plan is not None and machine.coordinator.active and machine.view.run is None:
            self._resumes = False
            self.begin(plan)

    def _watch(self, event: overlay.Event) -> Ending | None:
        """What concerns the process rather than the rounds."""
        self._met.take(event)
        if isinstance(event, overlay.PeerUp | overlay.PeerUpdate) and event.name:
            self._names[event.peer] = event.name
        match event:
            case overlay.Joined() | overlay.PeerUp():
                self.joined.set()
            case overlay.JoinFailed():
                return self._not_joined(event)
            case overlay.LedgerLost():
                self._lost_since = self._lost_since or time.monotonic()
            case overlay.LedgerFound():
                self._lost_since = None
            case _:
                pass
        return None

    def _not_joined(self, failed: overlay.JoinFailed) -> Ending | None:
        tried = "; ".join(f"{f.address}: {f.error}" for f in failed.failures)
        told = [f for f in failed.failures if f.address.partition(" ")[0] in self._settings.join]
        if told and all(f.refused for f in told):
            key = " Is this the swarm's key?" if "same swarm key" in tried else ""  # else it is the version, or another swarm of the key
            return Ending(REFUSED, f"Refused by the swarm: {tried}.{key}")
        waited = f"{self._settings.join_timeout_s:g} s"
        if self.joined.is_set():
            self._observe(FaultSeen("join", f"Nobody of the swarm answered for {waited}: {tried}. This peer goes on trying."))
            return None
        return Ending(UNREACHABLE, f"No bootstrap address could be reached in {waited}: {tried}. Check address and port.")

    def _who(self, peer: str) -> str:
        """A peer that may be gone: its name and where it was."""
        if peer == self.net.me:
            return f"{self._settings.name or peer} at {self.net.address}, this peer"
        name, address = self._names.get(peer, peer), self._met.address(peer)
        return f"{name} at {address}" if address else name

    def _overdue(self) -> Ending | None:
        received = self._received()
        if received:
            return Ending(128 + received, f"ended by {signal.Signals(received).name}")
        if self._asked:
            return self._asked
        give_up = self._settings.give_up_s
        if give_up and self._lost_since and time.monotonic() - self._lost_since > give_up:
            return Ending(MAJORITY_LOST, _majority_lost(give_up, self.driver.machine.view.voters, self._who))
        return None


def _majority_lost(give_up_s: float, voters: Sequence[str], who: Callable[[str], str]) -> str:
    """What an operator is told: which peers to start. `who` says how one is known."""
    named = "; ".join(map(who, voters))
    return (
        f"The committee's majority was away for {give_up_s:g} s. More than half of its voters must run. Start those again that do not, "
        "each with its own data directory, then this peer; the run goes on where it was. "
        f"The voters are {named or 'not known to this peer'}."
    )


def _make_writable(directory: Path) -> None:
    """Make the data directory. Raises `ConfigError` when nothing can be written there."""
    probe = directory / f".writable-{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"data_dir: {directory} cannot be written: {error.strerror}. A peer keeps its identity, ledger and checkpoints there; "
            "choose another --data-dir or change its permissions."
        ) from error

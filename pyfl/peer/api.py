"""`pyfl.Peer`: this process as a member of a swarm, for as long as a `with` block lasts."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import msgspec

from pyfl.aggregation import Strategy
from pyfl.errors import PeerNotReady
from pyfl.events import Stamped
from pyfl.overlay.protocol import Overlay
from pyfl.peer.peer_run import OnRound, PeerRun, error_of
from pyfl.peer.process import Ending, Process
from pyfl.peer.run_plan import RunPlan
from pyfl.peer.run_result import RunResult
from pyfl.peer.settings import PeerSettings
from pyfl.peer.status import PeerEntry, RoundEntry, Status
from pyfl.peer.worker import CallerWorker
from pyfl.rounds.early_stopping import EarlyStopping
from pyfl.rounds.records import Deadlines
from pyfl.tiers import Tiers
from pyfl.training.arrays import from_trainer
from pyfl.training.layout import Layout
from pyfl.training.trainer import FlatTrainer, Trainer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Peer"]


class Peer:
    """A peer of a swarm. Without `join` it founds one; with addresses it joins whoever answers there.

    Entering opens the overlay: raises `AddressInUse`, `ConfigError` (no swarm key), `RefusedBySwarm` (another key) or
    `SwarmUnreachable`. Leaving the block leaves the swarm. One peer takes part in one run.
    """

    def __init__(
        self,
        listen: str = "0.0.0.0:7700",
        join: Sequence[str] = (),
        swarm_key: str = "",
        *,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        advertise: str = "",
        data_dir: str = "",
        durability: Literal["full", "relaxed"] = "full",
        expect: int = 0,
        voters: int = 0,
        join_timeout_s: float = 60.0,
        give_up_s: float = 0.0,
        deadlines: Deadlines | None = None,
        checkpoints: bool = True,
        serve: bool = True,
    ) -> None:
        """`swarm_key`: a file; default PYFL_SWARM_KEY, then ./swarm.key, which a founder makes. See `PeerSettings` for the rest."""
        self._settings = PeerSettings(
            listen=listen, join=(join,) if isinstance(join, str) else tuple(join), swarm_key=str(swarm_key), name=name,
            labels=dict(labels or {}), advertise=advertise, data_dir=str(data_dir), durability=durability, expect=expect, voters=voters,
            join_timeout_s=join_timeout_s, give_up_s=give_up_s, deadlines=deadlines or Deadlines(), checkpoints=checkpoints, serve=serve,
        )  # fmt: skip
        self._process: Process | None = None
        self._worker: CallerWorker | None = None
        self._thread: threading.Thread | None = None
        self._settled = threading.Event()
        self._ending: Ending | None = None
        self._crash: BaseException | None = None
        self._run: PeerRun | None = None
        self._on_end: Callable[[], None] | None = None

    # ---- the block

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise PeerNotReady("This Peer was entered before; make a new one for another swarm or run.")
        process = Process(self._settings, self._follow, self._make_worker)
        self._process = process
        # A daemon: a program that ends in the middle of the block is not held back by its peer.
        self._thread = threading.Thread(target=self._live, args=(process,), name="pyfl-peer", daemon=True)
        self._thread.start()
        try:
            self._settled.wait()
            self._raise_if_ended()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Leave the swarm and give everything back; may be called again."""
        process, thread = self._process, self._thread
        if process is None or thread is None:
            return
        process.end(Ending(0, "the program left the peer's block"))
        thread.join()
        process.close()
        self._process = None

    def _make_worker(self, net: Overlay) -> CallerWorker:
        self._worker = CallerWorker(net)
        return self._worker

    def _live(self, process: Process) -> None:
        """The peer's own thread, from entering the block to the end."""
        try:
            process.start()
            watcher = threading.Thread(target=self._wait_for_joined, args=(process,), name="pyfl-joined", daemon=True)
            watcher.start()
            self._ending = process.loop()
            process.leave()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for this one
            self._crash = error
        finally:
            run = self._run
            if run is not None:
                run.ending, run.crash = self._ending, self._crash
            process.joined.set()
            if self._worker is not None:
                self._worker.close()
            if self._on_end is not None:
                self._on_end()

    def _wait_for_joined(self, process: Process) -> None:
        process.joined.wait()
        self._settled.set()

    def _raise_if_ended(self) -> None:
        if self._crash is not None:
            raise self._crash
        error = error_of(self._ending) if self._ending else None
        if error is not None:
            raise error

    def _follow(self, stamped: Stamped) -> None:
        if self._run is not None:
            self._run.observe(stamped.data)

    # ---- what it knows

    @property
    def _here(self) -> Process:
        if self._process is None:
            raise PeerNotReady("This Peer is not in a swarm; use it inside its block: `with pyfl.Peer(...) as peer:`.")
        return self._process

    @property
    def id(self) -> str:
        """This peer's id in the swarm."""
        return self._here.net.me

    @property
    def address(self) -> str:
        """Where others reach it, `ip:port`: what they join."""
        return self._here.net.address

    @property
    def name(self) -> str:
        """Its name."""
        return self._settings.name

    @property
    def entered(self) -> bool:
        """Whether it is in its block."""
        return self._process is not None

    @property
    def founds(self) -> bool:
        """Whether it was given no address to join: its settings become the run's."""
        return not self._settings.join

    def status(self) -> Status:
        """The swarm as this peer sees it."""
        return self._here.handle.status()

    def peers(self) -> list[PeerEntry]:
        """Who is there, this peer first."""
        return self._here.handle.peers()

    def rounds(self) -> list[RoundEntry]:
        """The last committed rounds."""
        return self._here.handle.rounds()

    def events(self, last: int = 0, timeout_s: float = 0.0) -> list[Stamped]:
        """What happened after event number `last`; waits up to `timeout_s` for the first."""
        return self._here.handle.events(last, timeout_s)

    # ---- a run

    def begin(
        self,
        trainer: Trainer | FlatTrainer,
        *,
        rounds: int | None = None,
        strategy: Strategy | str | None = None,
        tiers: Tiers | str | None = None,
        min_peers: int | None = None,
        min_contributors: int | None = None,
        seed: int | None = None,
        early_stopping: EarlyStopping | str | None = None,
        residuals: bool | None = None,
        on_round: OnRound | None = None,
        on_end: Callable[[], None] | None = None,
        keep_best: bool = False,
    ) -> PeerRun:
        """Take part in the run: for adapters that give it a thread of their own by `PeerRun.work`; others call `run` or `fit`.

        `keep_best`: the result has the weights of the best round that this peer saw.
        `on_end` is called in the peer's own thread when it has left the swarm.
        """
        process, worker = self._here, self._worker
        if self._run is not None or worker is None:
            raise PeerNotReady("This Peer has had its run; make a new Peer for another one.")
        self._raise_if_ended()
        flat = trainer if isinstance(getattr(trainer, "layout", None), Layout) else from_trainer(cast("Trainer", trainer))
        settings = msgspec.structs.replace(
            self._settings, rounds=rounds, min_peers=min_peers, min_contributors=min_contributors, seed=seed,
            strategy=strategy if isinstance(strategy, str) else None, tiers=tiers if isinstance(tiers, str) else None,
            early_stopping=early_stopping if isinstance(early_stopping, str) else None, residuals=residuals,
        )  # fmt: skip
        run = PeerRun(process, worker, cast("FlatTrainer", flat), on_round, keep_best=keep_best)
        plan = RunPlan(
            settings, run.trainer, None if isinstance(strategy, str) else strategy, None if isinstance(tiers, str) else tiers,
            None if isinstance(early_stopping, str) else early_stopping,
        )  # fmt: skip
        self._run, self._on_end = run, on_end
        run.ending, run.crash = self._ending, self._crash  # it may have ended a moment ago
        process.begin(plan)
        return run

    def run(
        self,
        trainer: Trainer | FlatTrainer,
        rounds: int | None = None,
        *,
        strategy: Strategy | str | None = None,
        tiers: Tiers | str | None = None,
        min_peers: int | None = None,
        min_contributors: int | None = None,
        seed: int | None = None,
        early_stopping: EarlyStopping | str | None = None,
        residuals: bool | None = None,
        on_round: OnRound | None = None,
    ) -> RunResult:
        """Train with the swarm until its last round, in this thread; the last committed model and the rounds that led to it.

        A founder's settings become the run's, with defaults of 10 rounds, at least 2 peers, FedAvg over rotated trees; a joiner's None
        are adopted, and others must agree. Raises `RefusedBySwarm` when they do not or the model differs, `RunFailed`, `MajorityLost`,
        and whatever the trainer raised. Ctrl-C leaves the swarm and is raised.
        """
        run = self.begin(
            trainer, rounds=rounds, strategy=strategy, tiers=tiers, min_peers=min_peers, min_contributors=min_contributors, seed=seed,
            early_stopping=early_stopping, residuals=residuals, on_round=on_round,
        )  # fmt: skip
        run.work()
        return run.result()

    def fit(self, model: Any, x: Any = None, y: Any = None, **arguments: Any) -> Any:
        """Train a compiled Keras model with the swarm: Keras's own arguments, a `keras.callbacks.History` back.

        See `pyfl.keras.fit`, which this calls.
        """
        from pyfl.keras.fit import fit

        return fit(self, model, x, y, **arguments)

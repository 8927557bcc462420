"""Many peer processes on this machine, started through a forkserver that has the framework loaded once.

The overlay's Go library is loaded in each child, after its fork: Go does not survive one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType

import msgspec

from pyfl.events import Stamped
from pyfl.peer.process import Ending
from pyfl.peer.settings import PeerSettings

__all__ = ["Herd"]

PRELOAD = ["pyfl.peer.process", "pyfl.serving.server", "pyfl.training.preload"]  # the framework last: it freezes the collector
FRAMEWORK = "pyfl.training.preload"

_decoder = msgspec.msgpack.Decoder(Stamped)
_settings_decoder = msgspec.msgpack.Decoder(PeerSettings)


class Herd:
    """Starts on entry, ends every process on exit. Each child's output goes to `peer.log` in its data directory.

    `framework`: load Keras before forking; without it children that need none start at once.
    """

    def __init__(self, settings: Sequence[PeerSettings], *, framework: bool = True) -> None:
        self._settings = list(settings)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([name for name in PRELOAD if framework or name != FRAMEWORK])
        self._processes: list[BaseProcess] = []
        self._pipes: dict[Connection, int] = {}
        self.endings: list[Ending | None] = []

    def __enter__(self) -> Herd:
        if self._settings:
            _start_forkserver(Path(self._settings[0].data_dir).parent / "herd.log")
        try:
            for settings in self._settings:
                self.start(settings)
        except BaseException:  # also Ctrl-C: nobody else would end those that have started
            self.stop()
            raise
        return self

    def start(self, settings: PeerSettings) -> int:
        """Start one more peer; returns its index."""
        index = len(self._processes)
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_be_a_peer, args=(msgspec.msgpack.encode(settings), theirs), name=settings.name or f"peer-{index}"
        )
        process.start()
        theirs.close()
        self._processes.append(process)
        self._pipes[ours] = index
        self.endings.append(None)
        return index

    @property
    def pids(self) -> list[int]:
        """The peers' process ids, also of ended ones."""
        return [process.pid or 0 for process in self._processes]

    def events(self, timeout_s: float | None = None) -> Iterator[tuple[int, Stamped] | None]:
        """(index, event) of all peers as they come, until all have ended or `timeout_s` passed; None four times a second when idle."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self._pipes and (deadline is None or time.monotonic() < deadline):
            ready = wait(list(self._pipes), 0.25)
            if not ready:
                yield None
            for pipe in ready:
                if isinstance(pipe, Connection):
                    yield from self._receive(pipe)

    def _receive(self, pipe: Connection) -> Iterator[tuple[int, Stamped]]:
        index = self._pipes[pipe]
        try:
            message = pipe.recv_bytes()
        except (EOFError, ConnectionResetError):
            del self._pipes[pipe]
            pipe.close()
            process = self._processes[index]
            process.join()
            if self.endings[index] is None:
                self.endings[index] = Ending(process.exitcode or 1, _why(process.exitcode))
            return
        if message[:1] == b"!":
            code, why = msgspec.msgpack.decode(message[1:], type=tuple[int, str])
            self.endings[index] = Ending(code, why)
        else:
            yield index, _decoder.decode(message)

    def signal(self, index: int, number: signal.Signals) -> None:
        """Send a signal to one peer, unless it has ended."""
        process = self._processes[index]
        if process.pid is not None and process.exitcode is None:
            os.kill(process.pid, number)

    def kill(self, index: int) -> None:
        """Kill -9."""
        self.signal(index, signal.SIGKILL)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Ask all to leave, and kill those that have not after `timeout_s`."""
        for index in range(len(self._processes)):
            self.signal(index, signal.SIGINT)
        deadline = time.monotonic() + timeout_s
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop(0.0 if kind is None and not self._pipes else 5.0)
        for pipe in self._pipes:
            pipe.close()


def _start_forkserver(log: Path) -> None:
    """Start it, once a process, deaf to a terminal's Ctrl-C, which would end its imports with a traceback.

    What the framework prints while it is loaded goes to `log` and not across a live view.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    log.parent.mkdir(parents=True, exist_ok=True)
    stderr = os.dup(2)
    try:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 2)
            forkserver.ensure_running()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        if in_main_thread:
            signal.signal(signal.SIGINT, before)


def _why(code: int | None) -> str:
    if code is not None and code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code} without saying why; see peer.log in its data directory"


def _be_a_peer(encoded: bytes, pipe: Connection) -> None:
    """In the child."""
    os.setpgid(0, 0)  # a terminal's Ctrl-C reaches only whoever started the herd, and peers are told to leave once, not twice
    settings = _settings_decoder.decode(encoded)
    directory = Path(settings.data_dir)
    directory.mkdir(parents=True, exist_ok=True)
    log = os.open(directory / "peer.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    from pyfl.peer.process import run

    def follow(event: Stamped) -> None:
        _send(pipe, msgspec.msgpack.encode(event))

    ending = run(settings, follow)
    _send(pipe, b"!" + msgspec.msgpack.encode((ending.code, ending.why)))
    pipe.close()
    sys.stderr.flush()
    os._exit(ending.code)  # TensorFlow's threads take seconds to end, and nothing is left to do


def _send(pipe: Connection, message: bytes) -> None:
    try:
        pipe.send_bytes(message)
    except (BrokenPipeError, OSError):
        # Whoever started this peer is gone; it ends as it would on a terminal's hang-up.
        signal.raise_signal(signal.SIGTERM)

"""One peer of a chaos run: the processes that it is one after another, `python -m pyfl.peer`, and what they say as they live."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

import pyfl
from pyfl.events import ModelInstalled, Stamped

__all__ = ["ChaosPeer", "Exit"]

IDENTITY = "identity.key"
_decoder = msgspec.json.Decoder(Stamped)


class Exit(msgspec.Struct, frozen=True):
    """A process that ended although nobody ended it."""

    peer: str
    code: int
    why: str
    under: str
    """The fault that it was under; empty: none."""


class ChaosPeer:
    """A peer by its index. Every process is in a group of its own: a terminal's Ctrl-C reaches only the harness."""

    def __init__(self, index: int, directory: Path, prefix: Sequence[str], arguments: Sequence[str]) -> None:
        """`prefix` goes before the command line; `arguments` are the same in every life."""
        self.index, self.name = index, f"peer-{index}"
        self.data_dir = directory / self.name
        self.log = directory / f"{self.name}.log"
        self._directory, self._prefix, self._arguments = directory, tuple(prefix), tuple(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self.lives = 0
        self.id = ""
        """Of the present or last life, as far as it has spoken."""
        self.have = -1
        """The newest model that the present process has installed."""
        self.stopped = False
        self.earlier: list[Path] = []
        """What was in the data directory before it was wiped."""

    # ---- processes

    def start(self, *more: str) -> None:
        """Begin another life; `more`: arguments of this one alone."""
        command = [*self._prefix, sys.executable, "-m", "pyfl.peer", *self._arguments, *more, "--json"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                command, cwd=self._directory, env=_environment(), stdout=subprocess.PIPE, stderr=log, process_group=0
            )
        self.lives += 1
        self._rest, self.have, self.stopped = b"", -1, False

    @property
    def running(self) -> bool:
        """Whether a process is there, stopped or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process's id, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def output(self) -> int | None:
        """The descriptor of its events, while it is open."""
        out = self._process.stdout if self._process else None
        return None if out is None or out.closed else out.fileno()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it is there."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            if number in (signal.SIGSTOP, signal.SIGCONT):
                self.stopped = number == signal.SIGSTOP

    def kill(self) -> list[Stamped]:
        """Kill -9 and wait for the end; returns what was said and not yet read."""
        process = self._process
        if process is None:
            return []
        if process.poll() is None:
            process.kill()
        process.wait()
        last: list[Stamped] = []
        while self.output is not None:
            last += self.read()
        return last

    def ended(self) -> int | None:
        """The exit code of a process that is over and whose events are all read, once; else None."""
        if self._process is None or self._process.poll() is None or self.output is not None:
            return None
        code, self._process = self._process.returncode, None
        return code

    def read(self) -> list[Stamped]:
        """The events that are there; blocks unless `output` is readable. Closes it at its end."""
        process = self._process
        if process is None or process.stdout is None:
            return []
        chunk = os.read(process.stdout.fileno(), 1 << 16)
        if not chunk:
            process.stdout.close()
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        new = [_decoder.decode(line) for line in lines]
        for event in new:
            self.id = event.peer
            if isinstance(event.data, ModelInstalled):
                self.have = max(self.have, event.data.round)
        return new

    def last_words(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return next((line for line in reversed(lines) if line.strip()), "nothing")

    # ---- data

    def wipe(self, *, new_identity: bool) -> None:
        """Put everything in the data directory aside, but for the identity unless that is lost too. Only while no process runs."""
        aside = self._directory / "earlier" / f"{self.name}-life-{self.lives}"
        aside.mkdir(parents=True)
        for path in sorted(self.data_dir.iterdir()):
            if path.is_socket():
                path.unlink()
            elif path.name != IDENTITY or new_identity:
                shutil.move(path, aside / path.name)
        self.earlier.append(aside)

    def close(self) -> None:
        """End the process whatever it does."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def ask_to_leave(self) -> None:
        """As Ctrl-C does; also a stopped one hears it."""
        self.signal(signal.SIGINT)
        self.signal(signal.SIGCONT)

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, or None if it does not end in time."""
        if self._process is None:
            return None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


def _environment() -> dict[str, str]:
    """This process's, with the package importable, without settings of the user's own; peers measure what they send."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYFL_")}
    path = os.pathsep.join([str(Path(pyfl.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**kept, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "PYFL_MEASURE": "true"}

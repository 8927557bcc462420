"""`python -m pyfl.peer` as processes of their own: started, followed through `--json`, ended by their ids whatever happens."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import msgspec

import pyfl
from pyfl.events import Stamped

__all__ = ["Program", "Programs", "call", "run_to_end", "tell"]

ROOT = Path(pyfl.__file__).parent.parent
_decoder = msgspec.json.Decoder(Stamped)


def environment(**more: str) -> dict[str, str]:
    """This process's environment with the checkout importable, and without settings of the user's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYFL_")}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**kept, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", **more}


def command(arguments: Sequence[str]) -> list[str]:
    """The command line of a peer."""
    return [sys.executable, "-m", "pyfl.peer", *arguments]


def call(directory: Path, data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`pyfl ARGUMENTS --data-dir DATA_DIR`, run to its end however it ends."""
    line = [sys.executable, "-c", "from pyfl.cli import main; main()", *arguments, "--data-dir", str(data_dir)]
    return subprocess.run(line, cwd=directory, env=environment(), capture_output=True, text=True, timeout=60, check=False)


def tell(directory: Path, data_dir: Path, *arguments: str) -> str:
    """What `pyfl ARGUMENTS --data-dir DATA_DIR` answers; an error if it fails."""
    done = call(directory, data_dir, *arguments)
    done.check_returncode()
    return done.stdout


def run_to_end(directory: Path, *arguments: str, **more: str) -> tuple[int, str]:
    """(exit code, stderr) of a peer that ends by itself; killed and an error after a minute. `more`: its environment."""
    done = subprocess.run(
        command(arguments), cwd=directory, env=environment(**more), capture_output=True, text=True, timeout=60.0, check=False
    )
    return done.returncode, done.stderr


class Program:
    """One peer's process; its log is `name`.log in the swarm's directory."""

    def __init__(self, name: str, directory: Path, arguments: Sequence[str], env: dict[str, str], inside: Sequence[str] = ()) -> None:
        self.name, self.log = name, directory / f"{name}.log"
        self.events: list[Stamped] = []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*inside, *command(arguments)], cwd=directory, env=env, stdout=subprocess.PIPE, stderr=log)
        self._rest = b""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def read(self) -> list[Stamped] | None:
        """The events that are there, None once it has closed its output; call it when stdout is readable."""
        assert self.process.stdout is not None
        chunk = os.read(self.process.stdout.fileno(), 1 << 16)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        new = [_decoder.decode(line) for line in lines]
        self.events += new
        return new if chunk else None

    def said(self, kind: type[msgspec.Struct]) -> list[Stamped]:
        """Its events of a kind."""
        return [event for event in self.events if isinstance(event.data, kind)]


class Programs:
    """Several peers; every process that is left is killed by its id on exit."""

    def __init__(self, directory: Path, **more: str) -> None:
        self.directory, self._env = directory, environment(**more)
        self.programs: list[Program] = []
        self._selector = selectors.DefaultSelector()
        self._stack = ExitStack()

    def __enter__(self) -> Programs:
        return self

    def start(self, *arguments: str, name: str = "", inside: Sequence[str] = ()) -> Program:
        """Start a peer, `inside` what runs its command; its index is its place in `programs`."""
        program = Program(name or f"peer-{len(self.programs)}", self.directory, [*arguments, "--json"], self._env, inside)
        self._stack.callback(_end, program.process)
        self.programs.append(program)
        assert program.process.stdout is not None
        self._selector.register(program.process.stdout, selectors.EVENT_READ, program)
        return program

    def events(self, timeout_s: float) -> Iterator[tuple[int, Stamped]]:
        """(index, event) as they come, until every process has closed its output; an error that shows the logs after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while self._selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"not over after {timeout_s:g} s\n{self.logs()}")
            for key, _ in self._selector.select(left):
                program: Program = key.data
                new = program.read()
                if new is None:
                    self._selector.unregister(key.fileobj)
                index = self.programs.index(program)
                for event in new or ():
                    yield index, event

    def until(self, reached: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Take events in until `reached`; an error that shows the logs after `timeout_s` or when all have ended."""
        if reached():
            return
        for _ in self.events(timeout_s):
            if reached():
                return
        raise AssertionError(f"every peer has ended, and still not: {what}\n{self.logs()}")

    def codes(self, timeout_s: float) -> list[int]:
        """Every exit code, once all have ended."""
        for _ in self.events(timeout_s):
            pass
        return [program.process.wait(timeout_s) for program in self.programs]

    def logs(self) -> str:
        """The last lines that each peer wrote to stderr."""
        return "\n".join(f"--- {p.name}\n" + "\n".join(p.log.read_text(errors="replace").splitlines()[-12:]) for p in self.programs)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._selector.close()
        self._stack.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()

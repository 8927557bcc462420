"""Network namespaces as machines: each has an address of its own on a cable between them, and nothing else."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Machine", "reason_for_none", "two_machines"]


def reason_for_none() -> str:
    """Why there can be no namespaces here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no `ip`: install iproute2"
    name = f"pyfl-{secrets.token_hex(3)}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    return f"this kernel or container lets nobody make network namespaces: {tried.stderr.strip()}" if tried.returncode else ""


@dataclass
class Machine:
    """A namespace and a directory; what is started in it is killed by its id at the end."""

    namespace: str
    directory: Path
    environment: Mapping[str, str]
    _started: list[subprocess.Popen[str]] = field(default_factory=list[subprocess.Popen[str]])

    def run(self, line: str, timeout_s: float = 60.0) -> str:
        """A command's standard output. Raises `AssertionError` with what it said if it fails."""
        done = subprocess.run(
            self._command(line), cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, line: str) -> subprocess.Popen[str]:
        """A command that goes on; both of its outputs are the process's stdout."""
        process = subprocess.Popen(
            self._command(line), cwd=self.directory, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._started.append(process)
        return process

    def _command(self, line: str) -> Sequence[str]:
        return ["ip", "netns", "exec", self.namespace, "/bin/sh", "-c", f"exec {line}"]

    def close(self) -> None:
        """Kill what is left."""
        for process in self._started:
            process.kill()
            process.communicate()


@contextmanager
def two_machines(directory: Path, addresses: tuple[str, str], environment: Mapping[str, str]) -> Iterator[tuple[Machine, Machine]]:
    """Two machines with these IPv4 addresses in one /24, cabled to each other. Everything is removed at the end."""
    run = secrets.token_hex(3)
    names = [f"pyfl-{run}-{number}" for number in (1, 2)]
    cable = [f"pyfl{run}{number}" for number in (1, 2)]
    machines: list[Machine] = []
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip("link", "add", cable[0], "netns", names[0], "type", "veth", "peer", "name", cable[1], "netns", names[1])
        for name, end, address in zip(names, cable, addresses, strict=True):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", end)
            _ip("-n", name, "link", "set", end, "up")
            _ip("-n", name, "link", "set", "lo", "up")
            home = directory / name
            home.mkdir()
            machines.append(Machine(name, home, environment))
        yield machines[0], machines[1]
    finally:
        for machine in machines:
            machine.close()
        for name in names:
            with suppress(subprocess.CalledProcessError):  # it may not have been made
                _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)

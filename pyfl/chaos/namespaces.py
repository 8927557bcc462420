"""A network namespace for each peer and a router between them: links that can be cut, each way, and slowed. Linux, as root.

Each peer has a network of its own, 10.x.y.0/30, and a veth pair to the router, which forwards. A cut is a routing rule there that loses
packets of one peer for another silently; the peers' own network is as before. Nothing outside these namespaces is touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from pyfl.errors import ChaosError

__all__ = ["Namespaces", "permitted"]

PORT = 7700
INTERFACE = "eth0"


def permitted() -> str:
    """Why namespaces cannot be made here; empty: they can."""
    if os.geteuid() != 0:
        return "this is not root"
    for tool in ("ip", "tc", "sysctl"):
        if shutil.which(tool) is None:
            return f"there is no `{tool}` (iproute2, procps)"
    name = f"pyfl-{os.getpid()}-probe"
    made = _try("ip", "netns", "add", name)
    if made:
        return made
    try:
        return _try("ip", "-n", name, "rule", "add", "from", "10.255.0.1", "to", "10.255.0.2", "blackhole")
    finally:
        _try("ip", "netns", "del", name)


def _try(*command: str) -> str:
    """What the command complained of; empty: nothing."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else ""


class Namespaces:
    """See the module. Raises `ChaosError` when a command of iproute2 fails."""

    kind = "namespaces"

    def __init__(self, peers: int) -> None:
        self._peers = peers
        self._mark = f"pyfl-{os.getpid()}"
        self._made: list[str] = []
        self._cuts: set[tuple[int, int]] = set()
        self._slow: set[int] = set()

    def _name(self, index: int) -> str:
        return f"{self._mark}-{index}"

    @property
    def _router(self) -> str:
        return f"{self._mark}-r"

    def _ip(self, index: int) -> str:
        return f"10.213.{index}.2"

    def address(self, index: int) -> str:
        """Where a peer listens."""
        return f"{self._ip(index)}:{PORT}"

    def inside(self, index: int) -> Sequence[str]:
        """`ip netns exec`: it becomes the command, whose process id it keeps."""
        return ("ip", "netns", "exec", self._name(index))

    def __enter__(self) -> Self:
        try:
            self._add(self._router)
            _do("ip", "netns", "exec", self._router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
            for index in range(self._peers):
                name = self._name(index)
                self._add(name)
                _do("ip", "-n", self._router, "link", "add", f"p{index}", "type", "veth", "peer", "name", INTERFACE, "netns", name)
                _do("ip", "-n", self._router, "addr", "add", f"10.213.{index}.1/30", "dev", f"p{index}")
                _do("ip", "-n", self._router, "link", "set", f"p{index}", "up")
                _do("ip", "-n", name, "addr", "add", f"{self._ip(index)}/30", "dev", INTERFACE)
                _do("ip", "-n", name, "link", "set", "lo", "up")
                _do("ip", "-n", name, "link", "set", INTERFACE, "up")
                _do("ip", "-n", name, "route", "add", "default", "via", f"10.213.{index}.1")
        except BaseException:  # also Ctrl-C: what was made is removed
            self._remove()
            raise
        return self

    def _add(self, name: str) -> None:
        _do("ip", "netns", "add", name)
        self._made.append(name)

    def cut(self, source: int, target: int) -> None:
        """The router loses what `source` sends to `target`."""
        if (source, target) not in self._cuts:
            self._cuts.add((source, target))
            _do("ip", "-n", self._router, "rule", "add", *self._rule(source, target))

    def _rule(self, source: int, target: int) -> tuple[str, ...]:
        return ("from", self._ip(source), "to", self._ip(target), "blackhole")

    def slow(self, index: int, bits_per_s: int) -> None:
        """A token bucket each way (tc-tbf(8)), with 200 ms of queue."""
        shape = ("root", "tbf", "rate", f"{bits_per_s}bit", "burst", "32kb", "latency", "200ms")
        self._slow.add(index)
        _do("tc", "-n", self._router, "qdisc", "replace", "dev", f"p{index}", *shape)
        _do("tc", "-n", self._name(index), "qdisc", "replace", "dev", INTERFACE, *shape)

    def heal(self) -> None:
        """Take all rules and shapes back."""
        for source, target in list(self._cuts):
            _do("ip", "-n", self._router, "rule", "del", *self._rule(source, target))
            self._cuts.discard((source, target))
        for index in list(self._slow):
            _do("tc", "-n", self._router, "qdisc", "del", "dev", f"p{index}", "root")
            _do("tc", "-n", self._name(index), "qdisc", "del", "dev", INTERFACE, "root")
            self._slow.discard(index)

    def _remove(self) -> None:
        with contextlib.ExitStack() as all_of_them:
            for name in self._made:
                all_of_them.callback(_do, "ip", "netns", "del", name)
        self._made.clear()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._remove()


def _do(*command: str) -> None:
    why = _try(*command)
    if why:
        raise ChaosError(
            f"`{' '.join(command)}` failed: {why}. Namespaces, veth, tbf and routing rules are needed; or leave network faults out."
        )

"""Network namespaces around a router: each machine has a network of its own, ways between two can be closed, addresses change."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

__all__ = ["RoutedNetwork", "routed_network"]


@dataclass
class RoutedNetwork:
    """Machine i is `10.88.i.HOST`; the router passes everything on but what `cut` forbids, which it swallows without a word."""

    router: str
    machines: list[str]
    """Namespaces."""
    addresses: list[str]
    _cuts: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def cut(self, one: int, other: int) -> None:
        """Close the way between two machines, in both directions."""
        for pair in self._ways(one, other):
            _ip("-n", self.router, "rule", "add", "from", pair[0], "to", pair[1], "blackhole")
            self._cuts.add(pair)

    def heal(self, one: int, other: int) -> None:
        """Open it again."""
        for pair in self._ways(one, other):
            _ip("-n", self.router, "rule", "delete", "from", pair[0], "to", pair[1], "blackhole")
            self._cuts.discard(pair)

    def _ways(self, one: int, other: int) -> list[tuple[str, str]]:
        return [(self.addresses[one], self.addresses[other]), (self.addresses[other], self.addresses[one])]

    def move(self, machine: int, host: int) -> None:
        """Give a machine another address; connections from the old one are not told."""
        name, old, new = self.machines[machine], self.addresses[machine], f"10.88.{machine + 1}.{host}"
        _ip("-n", name, "address", "delete", f"{old}/24", "dev", "net")
        _ip("-n", name, "address", "add", f"{new}/24", "dev", "net")
        _ip("-n", name, "route", "add", "default", "via", f"10.88.{machine + 1}.1")
        self.addresses[machine] = new


@contextmanager
def routed_network(machines: int) -> Iterator[RoutedNetwork]:
    """So many machines around a router; everything is removed at the end."""
    run = secrets.token_hex(3)
    router, names = f"pyfl-{run}-r", [f"pyfl-{run}-{i}" for i in range(machines)]
    try:
        for name in (router, *names):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        subprocess.run(["ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True, capture_output=True)
        for i, name in enumerate(names):
            _ip("link", "add", f"net{i}", "netns", router, "type", "veth", "peer", "name", "net", "netns", name)
            for where, end, address in ((router, f"net{i}", f"10.88.{i + 1}.1"), (name, "net", f"10.88.{i + 1}.2")):
                _ip("-n", where, "address", "add", f"{address}/24", "dev", end)
                _ip("-n", where, "link", "set", end, "up")
            _ip("-n", name, "route", "add", "default", "via", f"10.88.{i + 1}.1")
        yield RoutedNetwork(router, names, [f"10.88.{i + 1}.2" for i in range(machines)])
    finally:
        for name in (*names, router):
            with suppress(subprocess.CalledProcessError):  # it may not have been made
                _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)

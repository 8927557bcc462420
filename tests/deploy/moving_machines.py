"""The product's network namespaces, of which each may be given another address while its peer runs."""

from __future__ import annotations

import subprocess

from pyfl.chaos.namespaces import INTERFACE, Namespaces

__all__ = ["MovingMachines"]


class MovingMachines(Namespaces):
    """As `Namespaces`; a machine that has moved is in another network behind the same router."""

    def __init__(self, peers: int) -> None:
        super().__init__(peers)
        self._moved: set[int] = set()

    def _ip(self, index: int) -> str:
        return f"10.214.{index}.2" if index in self._moved else super()._ip(index)

    def move(self, index: int) -> None:
        """Give a machine another address, once; connections from the old one are not told."""
        old, gateway = self._ip(index), f"10.214.{index}.1"
        self._moved.add(index)
        machine = self._name(index)
        for command in (
            ("-n", self._router, "addr", "add", f"{gateway}/30", "dev", f"p{index}"),
            ("-n", machine, "addr", "del", f"{old}/30", "dev", INTERFACE),  # its routes go with it
            ("-n", machine, "addr", "add", f"{self._ip(index)}/30", "dev", INTERFACE),
            ("-n", machine, "route", "add", "default", "via", gateway),
        ):
            subprocess.run(["ip", *command], check=True, capture_output=True)

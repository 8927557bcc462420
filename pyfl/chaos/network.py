"""Where peers are and what lies between them. `Loopback` cannot be cut; see `namespaces.py` for one that can."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from pyfl.overlay.free_port import free_ports

__all__ = ["Loopback", "Network"]


class Network(Protocol):
    """Addresses for a number of peers, by index. Entering makes it, leaving removes all of it."""

    kind: str
    """`namespaces` or `none`."""

    def address(self, index: int) -> str:
        """Where a peer listens, `IP:PORT`."""
        ...

    def inside(self, index: int) -> Sequence[str]:
        """What goes before a command line that is to run at a peer's place."""
        ...

    def cut(self, source: int, target: int) -> None:
        """From now on nothing that `source` sends reaches `target`, silently."""
        ...

    def slow(self, index: int, bits_per_s: int) -> None:
        """From now on a peer sends and receives no faster."""
        ...

    def heal(self) -> None:
        """Every link is whole and fast again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Loopback:
    """Everyone on 127.0.0.1, with a port of their own. Links cannot be cut: `cut` and `slow` are errors."""

    kind = "none"

    def __init__(self, peers: int) -> None:
        self._addresses = [f"127.0.0.1:{port}" for port in free_ports(peers)]

    def address(self, index: int) -> str:
        """Where a peer listens."""
        return self._addresses[index]

    def inside(self, index: int) -> Sequence[str]:  # noqa: ARG002
        """Nothing: all are in one place."""
        return ()

    def cut(self, source: int, target: int) -> None:
        """Impossible here."""
        raise AssertionError(f"loopback between {source} and {target} cannot be cut")

    def slow(self, index: int, bits_per_s: int) -> None:
        """Impossible here."""
        raise AssertionError(f"loopback of {index} cannot be slowed to {bits_per_s}")

    def heal(self) -> None:
        """Nothing was cut."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing was made."""

"""Free ports on this machine, for swarms of processes on loopback."""

from __future__ import annotations

import socket
from contextlib import ExitStack

__all__ = ["free_ports"]


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """`count` different ports that nobody listens on now; another process may still be quicker."""
    with ExitStack() as open_sockets:
        ports: list[int] = []
        for _ in range(count):
            listener = open_sockets.enter_context(socket.socket())
            listener.bind((host, 0))
            ports.append(listener.getsockname()[1])
        return ports

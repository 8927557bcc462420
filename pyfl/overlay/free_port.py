"""Free ports on this machine, for swarms of processes on loopback."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

from pyfl.errors import AddressInUse

__all__ = ["free_ports"]

# Linux hands out 32768 and above, macOS 49152 and above, to connections that do not care: a port from below stays free
# until its peer listens on it.
FIRST, END = 20_000, 32_000


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """`count` different ports that nobody listens on now; another process may still be quicker. Raises `AddressInUse`."""
    with ExitStack() as open_sockets:
        ports: list[int] = []
        for port in random.sample(range(FIRST, END), END - FIRST):
            listener = open_sockets.enter_context(socket.socket())
            try:
                listener.bind((host, port))
            except OSError:
                listener.close()
                continue
            ports.append(port)
            if len(ports) == count:
                return ports
    raise AddressInUse(f"{count} free ports were wanted on {host}, and only {len(ports)} were found between {FIRST} and {END}.")

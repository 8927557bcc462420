"""A peer's API on a free TCP port of this machine, and raw connections to it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import httpx

from pyfl.peer.status import PeerHandle
from pyfl.serving.limits import Limits
from pyfl.serving.listeners import listen_tcp
from pyfl.serving.server import ApiServer

__all__ = ["TOKEN", "answer_to", "client_of", "served"]

TOKEN = "0123456789abcdef" * 4


@contextlib.contextmanager
def served(handle: PeerHandle, limits: Limits | None = None) -> Iterator[ApiServer]:
    """Without a Unix socket."""
    server = ApiServer(handle, None, listen_tcp("127.0.0.1", 0), TOKEN, limits or Limits(requests_per_s=1e6, burst=10**6))
    try:
        yield server
    finally:
        server.stop()


def client_of(server: ApiServer, token: str = TOKEN) -> httpx.Client:
    assert server.address is not None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=f"http://127.0.0.1:{server.address[1]}", headers=headers, timeout=60)


def answer_to(server: ApiServer, raw: bytes) -> bytes:
    """What the server says to these bytes until it closes the connection."""
    assert server.address is not None
    with socket.create_connection(server.address, timeout=60) as connection:
        answer = b""
        with contextlib.suppress(ConnectionError):  # refused while it was still being sent: what was answered before counts
            connection.sendall(raw)
            while chunk := connection.recv(65536):
                answer += chunk
    return answer

"""Serves a peer's API in a thread of the peer's process: on a Unix socket without a token, over TCP with one."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import uvicorn

from pyfl.peer.status import PeerHandle
from pyfl.serving.api import create_app
from pyfl.serving.guard import Guard
from pyfl.serving.limits import Limits
from pyfl.serving.listeners import BACKLOG, listen_unix
from pyfl.serving.patience import patient
from pyfl.serving.places import forget_socket
from pyfl.serving.predictor import Predictor
from pyfl.serving.streams import Bell

__all__ = ["ApiServer"]

STOP_S = 2.0


class ApiServer:
    """A running API. `path`: its Unix socket; `address`: (host, port) over TCP. Raises `ApiError` if another peer answers on the socket."""

    def __init__(
        self,
        handle: PeerHandle,
        socket_path: Path | None,
        bound: socket.socket | None = None,
        token: str = "",
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        """`bound`: a TCP socket, served to whoever has `token`, and closed at the end."""
        if bound is not None and not token:
            raise AssertionError("a peer's API is not served over TCP without a token")
        self._wanted = socket_path
        self._stopping = threading.Event()
        unix = listen_unix(socket_path) if socket_path is not None else None
        self.path = Path(unix.getsockname()) if unix is not None else None
        self.address: tuple[str, int] | None = bound.getsockname()[:2] if bound is not None else None
        self._bell, self._predictor = Bell(handle), Predictor(handle)
        app = create_app(handle, self._bell, self._predictor, limits)
        self._servers: list[tuple[uvicorn.Server, socket.socket]] = []
        if unix is not None:
            self._servers.append((uvicorn.Server(_config(app, limits)), unix))
        if bound is not None:
            bound.listen(BACKLOG)  # now, so that nobody is turned away who asks before the thread has begun
            self._servers.append((uvicorn.Server(_config(Guard(app, token, limits), limits)), bound))
        # A daemon: a client that does not let go must not keep a peer that was told to leave.
        self._thread = threading.Thread(target=self._run, name="pyfl-api", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in self._servers))

    def stop(self) -> None:
        """Send followers the last events, end every connection and remove the socket. Idempotent; returns within 3 s."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._bell.stop()
        self._predictor.close()
        for server, _ in self._servers:
            server.should_exit = True
        self._thread.join(STOP_S + 1.0)
        for _, listener in self._servers:
            listener.close()
        if self._wanted is not None and self.path is not None:
            forget_socket(self._wanted, self.path)


def _config(app: Any, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        app, http=patient(limits), ws="none", lifespan="off", log_config=None, access_log=False, proxy_headers=False,
        server_header=False, timeout_graceful_shutdown=int(STOP_S),
    )  # fmt: skip

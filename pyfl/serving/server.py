"""Serves a peer's API on a Unix socket, in a thread of the peer's process."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import uvicorn

from pyfl.errors import ApiError
from pyfl.peer.status import PeerHandle
from pyfl.serving.api import create_app
from pyfl.serving.places import choose_socket, forget_socket

__all__ = ["ApiServer"]

STOP_S = 2.0


class ApiServer:
    """A running API. `path`: where it listens. Raises `ApiError` if another peer answers there."""

    def __init__(self, handle: PeerHandle, socket_path: Path) -> None:
        self._wanted = socket_path
        self._stopping = threading.Event()
        self._listener = _listen(socket_path)
        self.path = Path(self._listener.getsockname())
        app = create_app(handle, self._stopping.is_set)
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=int(STOP_S))
        self._server = uvicorn.Server(config)
        # A daemon: a client that does not let go must not keep a peer that was told to leave.
        self._thread = threading.Thread(target=self._run, name="pyfl-api", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])

    def stop(self) -> None:
        """Send followers the last events, end every connection and remove the socket. Idempotent; returns within 3 s."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._server.should_exit = True
        self._thread.join(STOP_S + 1.0)
        self._listener.close()
        forget_socket(self._wanted, self.path)


def _listen(wanted: Path) -> socket.socket:
    wanted.parent.mkdir(parents=True, exist_ok=True)
    place = choose_socket(wanted)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if place.exists():
            _remove_stale(place)
        listener.bind(os.fspath(place))
        # Before it listens: a socket that does not listen lets nobody in, so nobody sees it with wider permissions.
        place.chmod(0o600)
        listener.listen(64)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(place: Path) -> None:
    """A peer that was killed leaves its socket; one that answers is alive."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(place))
        except ConnectionRefusedError:
            place.unlink(missing_ok=True)
            return
    raise ApiError(f"Another peer is running in {place.parent}: it answers on {place.name}. Give this one its own --data-dir.")

"""A peer's HTTP API (`serve`) and its client (`pyfl.serving.client`). FastAPI is imported when something is served, not before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from pyfl.peer.status import PeerHandle
    from pyfl.serving.server import ApiServer

__all__ = ["serve"]


def serve(handle: PeerHandle, socket_path: Path | None, bound: socket.socket | None = None, token: str = "") -> ApiServer:
    """Serve `handle`, until `.stop()`, on a socket that only this user can open, and on a `bound` TCP socket to who has `token`.

    Raises `ApiError` if another peer answers on the Unix socket.
    """
    from pyfl.serving.server import ApiServer

    return ApiServer(handle, socket_path, bound, token)

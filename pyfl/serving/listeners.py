"""Where a peer's API listens: the Unix socket in its data directory, and the TCP address that its user chose."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from pyfl.errors import AddressInUse, ApiError, ConfigError
from pyfl.serving.places import choose_socket

__all__ = ["BACKLOG", "listen_tcp", "listen_unix"]

BACKLOG = 64


def listen_tcp(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet; port 0 takes a free one. Raises `AddressInUse`, and `ConfigError` for no address of ours."""
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise ConfigError(f"http: {host} is no address of this machine: {error}. Name one, or 127.0.0.1 for this machine only.") from error
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so that a restart need not wait for old connections' TIME_WAIT
        bound.bind(address)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"http: {shown} is in use") from error
        raise ConfigError(f"http: {shown} cannot be listened on: {error.strerror}. Name an address of this machine and a port.") from error
    return bound


def listen_unix(wanted: Path) -> socket.socket:
    """A listening socket that only this user can open. Raises `ApiError` if another peer answers there."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    place = choose_socket(wanted)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if place.exists():
            _remove_stale(place)
        listener.bind(os.fspath(place))
        # Before it listens: a socket that does not listen lets nobody in, so nobody sees it with wider permissions.
        place.chmod(0o600)
        listener.listen(BACKLOG)
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

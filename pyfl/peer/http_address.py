"""Where a peer's HTTP API is: the setting's address, the label by which others learn it, and what that means to who reads it."""

from __future__ import annotations

import re

from pyfl.errors import ConfigError

__all__ = ["LABEL", "advertised", "parse", "resolved"]

LABEL = "http"
"""The reserved label; "" as its host means the host by which the peer itself is known."""
LOOPBACK = "127.0.0.1"
EVERY = ("0.0.0.0", "::")  # noqa: S104 - recognised, not bound
ADDRESS = re.compile(r"(?:(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<host>[^\s:\[\]]*)):)?(?P<port>\d{1,5})")


def parse(text: str) -> tuple[str, int]:
    """(host, port) of `HOST:PORT`, `[::1]:PORT`, `:PORT` or `PORT`; loopback where there is no host. Raises `ConfigError`."""
    found = ADDRESS.fullmatch(text.strip())
    if not found or int(found["port"]) > 65535:
        raise ConfigError(
            f"http is {text!r}; expected HOST:PORT with a port from 0 to 65535, as 0.0.0.0:7780, or a port alone for this machine only."
        )
    return found["v6"] or found["host"] or LOOPBACK, int(found["port"])


def advertised(host: str, port: int, advertise: str) -> str:
    """What is told to others of an API that listens on `host`:`port`; `advertise`: the setting of the overlay."""
    if host in EVERY:
        host = advertise.rpartition(":")[0].strip("[]")
        host = "" if host in EVERY else host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def resolved(label: str, address: str, here: str = "") -> str:
    """The label of a peer known at `address` as one address to open; "" if it is loopback on another machine than `here`'s."""
    host, colon, port = label.rpartition(":")
    if not colon:
        return ""
    peer = address.rpartition(":")[0]
    if not host:
        return f"{peer}:{port}"
    if here and _loopback(host) and not _loopback(peer) and peer != here.rpartition(":")[0]:
        return ""
    return label


def _loopback(host: str) -> bool:
    bare = host.strip("[]")
    return bare in ("localhost", "::1") or bare.startswith("127.")

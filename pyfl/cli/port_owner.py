"""Which process listens on a port: what somebody who finds it in use wants to know next."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["listener"]

LISTEN = "0A"


def listener(address: str, proc: Path = Path("/proc")) -> str:
    """A sentence about who listens on `ip:port` on this machine; Linux tells, and only of this user's processes unless asked by root."""
    port = int(address.rpartition(":")[2])
    inodes = _inodes(port, proc)
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)) if inodes else ():
        if inodes & _held(process):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            return f"Process {process.name} listens there: {command}. End it, or choose another port."
    return f"`ss -ltnp 'sport = :{port}'` as root names the process. End it, or choose another port."


def _held(process: Path) -> set[str]:
    """The inodes of a process's sockets; empty if it is another user's."""
    found: set[str] = set()
    with contextlib.suppress(OSError):  # ended meanwhile, or not ours to look at
        for link in list((process / "fd").iterdir()):
            with contextlib.suppress(OSError):  # closed meanwhile
                found.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
    return found


def _inodes(port: int, proc: Path) -> set[str]:
    """Of the listening sockets; local addresses are hexadecimal in /proc/net/tcp."""
    found: set[str] = set()
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (proc / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                found.add(columns[9])
    return found

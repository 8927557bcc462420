"""What a process uses: memory, threads and open files from /proc (proc(5)), processor time, and its sockets' congestion control."""

from __future__ import annotations

import os
import socket
from pathlib import Path

__all__ = ["anonymous_bytes", "congestion_control", "cpu_seconds", "open_files", "resident_bytes", "threads"]


def resident_bytes(pid: int | None = None) -> tuple[int, int]:
    """(resident now, the most so far) in bytes, of this process or another; (0, 0) where there is no /proc."""
    found = _status(pid)
    return _number(found, "VmRSS") * 1024, _number(found, "VmHWM") * 1024


def anonymous_bytes(pid: int | None = None) -> int:
    """Resident memory that no file backs: what is left of it without libraries and the ledger's mapped file; 0 where there is no /proc."""
    return _number(_status(pid), "RssAnon") * 1024


def threads(pid: int | None = None) -> int:
    """How many threads there are, those of native libraries included; 0 where there is no /proc."""
    return _number(_status(pid), "Threads")


def open_files(pid: int | None = None) -> int:
    """How many descriptors are open, sockets included; 0 where there is no /proc."""
    place = _proc(pid) / "fd"
    return len(list(place.iterdir())) if place.exists() else 0


def _proc(pid: int | None) -> Path:
    return Path("/proc") / (str(pid) if pid is not None else "self")


def _status(pid: int | None) -> dict[str, str]:
    """The lines of /proc/PID/status; empty where there is none."""
    place = _proc(pid) / "status"
    return dict(line.split(":", 1) for line in place.read_text().splitlines()) if place.exists() else {}


def _number(status: dict[str, str], name: str) -> int:
    return int(status[name].split()[0]) if name in status else 0


def cpu_seconds() -> float:
    """User and system time of all threads."""
    times = os.times()
    return times.user + times.system


def congestion_control(wanted: str) -> str:
    """What a TCP socket really uses when `wanted` is asked for."""
    with socket.socket() as probe:
        if wanted:
            try:
                probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, wanted.encode())
            except OSError:
                return _used(probe)  # not permitted or not loaded: sockets stay with the system's default
        return _used(probe)


def _used(probe: socket.socket) -> str:
    return probe.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).split(b"\0")[0].decode()

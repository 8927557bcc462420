"""What this process has used: memory from /proc/self/status (proc(5)), processor time, and its sockets' congestion control."""

from __future__ import annotations

import os
import socket
from pathlib import Path

__all__ = ["congestion_control", "cpu_seconds", "resident_bytes"]


def resident_bytes() -> tuple[int, int]:
    """(resident now, the most so far) in bytes; (0, 0) where there is no /proc."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0, 0
    found = {line.split(":")[0]: line.split()[1] for line in status.read_text().splitlines() if line.startswith("Vm")}
    return int(found["VmRSS"]) * 1024, int(found["VmHWM"]) * 1024


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

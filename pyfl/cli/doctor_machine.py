"""What `pyfl doctor` looks at on this machine: versions, compiled parts, clock, port, data directory."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import socket
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from pyfl import __version__
from pyfl.cli.finding import Finding
from pyfl.cli.port_owner import listener

__all__ = ["clock", "clock_offset", "compiled_parts", "data_directory", "port", "versions"]

PYTHONS = ((3, 11), (3, 14))  # from the first, before the second: pyproject.toml
NEEDED = ("keras", "numpy", "msgspec", "blake3", "cffi", "fastapi", "uvicorn", "httpx", "safetensors", "scikit-learn")
TENSORFLOWS = ("tensorflow-cpu", "tensorflow")
INSTALL = "Install pyfl with what it needs: `make build` in a checkout, or pip install it again."
JUMP_S = 0.5  # more than any clock is slewed while we look
PLAUSIBLE = 1_735_689_600.0  # 2025-01-01: no pyfl is older
GIB = 1024**3
LITTLE_BYTES, TOO_LITTLE_BYTES = GIB, GIB // 10


def versions() -> list[Finding]:
    """Python, pyfl and the libraries, without importing any of them."""
    here = sys.version_info[:2]
    fits = PYTHONS[0] <= here < PYTHONS[1]
    wanted = f"Use Python {PYTHONS[0][0]}.{PYTHONS[0][1]} or newer, before {PYTHONS[1][0]}.{PYTHONS[1][1]}."
    found = [
        Finding(
            "python",
            "ok" if fits else "fail",
            f"{platform.python_version()} on {platform.system()} {platform.machine()}",
            "" if fits else wanted,
        )
    ]
    known = {name: _version(name) for name in NEEDED}
    known["tensorflow"] = next((version for name in TENSORFLOWS if (version := _version(name))), "")
    listed = ", ".join(f"{name} {version}" for name, version in known.items() if version)
    found.append(Finding("pyfl", "ok", f"{__version__}; {listed}"))
    missing = [name for name, version in known.items() if not version]
    if missing:
        found.append(Finding("libraries", "fail", f"not installed: {', '.join(missing)}", INSTALL))
    return found


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def compiled_parts() -> Finding:
    """The C++ kernels and the Go library, loaded."""
    try:
        import pyfl.kernels
        from pyfl.overlay import _p2plib
        from pyfl.overlay import real as _real
    except (ImportError, OSError) as error:
        return Finding("compiled parts", "fail", f"cannot be loaded: {error}", INSTALL)
    del _real, _p2plib
    return Finding("compiled parts", "ok", f"kernels and overlay load from {Path(pyfl.kernels.__file__ or '').parents[1]}")


def clock_offset() -> float:
    """Seconds between the wall clock and the monotonic one: constant unless somebody sets the wall clock."""
    return time.time() - time.monotonic()


def clock(offset_before: float, since: str) -> Finding:
    """Compare with an offset taken earlier on this machine. Time zones do not matter: both clocks have none."""
    jump = clock_offset() - offset_before
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if time.time() < PLAUSIBLE:
        return Finding(
            "clock", "warn", f"it says {now}, before this pyfl was made", "Set it: times in events and logs will mislead people."
        )
    if abs(jump) > JUMP_S:
        return Finding(
            "clock", "warn", f"the wall clock was moved by {jump:+.1f} s since {since}",
            "Rounds do not mind, they use the monotonic clock; times in events and logs before and after do not compare.",
        )  # fmt: skip
    return Finding("clock", "ok", f"{now}, not moved since {since}")


def port(listen: str, ours: bool) -> Finding:
    """Whether a peer could listen there; `ours`: the peer of this data directory does."""
    host, _, number = listen.rpartition(":")
    if ours:
        return Finding("port", "ok", f"{listen} is the running peer's")
    if not number.isdigit() or int(number) > 65535:
        return Finding("port", "fail", f"listen is {listen!r}", "Expected IP:PORT, as 0.0.0.0:7700.")
    host = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(number)))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return Finding("port", "fail", f"{listen} is in use", listener(listen))
            advice = {
                errno.EADDRNOTAVAIL: "This machine has no such address: --listen takes one of its own, or 0.0.0.0 for all of them.",
                errno.EACCES: "Ports below 1024 need privileges: choose another with --listen.",
            }
            return Finding(
                "port", "fail", f"{listen} cannot be used: {error}", advice.get(error.errno or 0, "Choose another with --listen.")
            )
    return Finding("port", "ok", f"{listen} is free" if int(number) else f"{listen}: any free port")


def data_directory(place: Path) -> list[Finding]:
    """Whether a peer could write there, and how much. Leaves nothing behind."""
    there = next(path for path in (place.absolute(), *place.absolute().parents) if path.exists())
    what = f"{place}" if there == place.absolute() else f"{place}, to be made in {there},"
    advice = "Choose another with --data-dir, or change its permissions."
    try:
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        return [Finding("data directory", "fail", f"{what} cannot be written: {error.strerror}", advice)]
    free = shutil.disk_usage(there).free
    level = "fail" if free < TOO_LITTLE_BYTES else "warn" if free < LITTLE_BYTES else "ok"
    room = "Make room: a peer keeps two checkpoints, a staged one and 32 MiB of events, and a voter that cannot write ends."
    return [
        Finding("data directory", "ok", f"{what} can be written"),
        Finding("disk", level, f"{free / GIB:.1f} GiB free", "" if level == "ok" else room),
    ]

"""Disks that can be full: a small tmpfs for each peer where mounting is permitted, else a limit on the size of files."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
from contextlib import suppress
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Self

from pyfl.chaos.process import ChaosPeer
from pyfl.errors import ChaosError

__all__ = ["Disks"]

BALLAST = "ballast"
BLOCK = 1 << 16


class Disks:
    """`tmpfs`: the data directory is one of its own, and a ballast file takes the room: writes fail with ENOSPC.

    `rlimit`: the process may not make a file longer (prlimit(2)): writes fail with EFBIG, as of a quota.
    """

    def __init__(self, directories: list[Path], size_bytes: int) -> None:
        self._directories, self._size = directories, size_bytes
        self._mounted: list[Path] = []
        self._limits: dict[int, tuple[int, int]] = {}
        self.kind = "rlimit"

    def __enter__(self) -> Self:
        for directory in self._directories:
            directory.mkdir(parents=True, exist_ok=True)
            if not self._mount(directory):
                break
            self._mounted.append(directory)
        else:
            self.kind = "tmpfs"
        if self.kind == "rlimit":
            self._unmount()
        return self

    def _mount(self, directory: Path) -> bool:
        mount = shutil.which("mount")
        if mount is None or os.geteuid() != 0:
            return False
        command = [mount, "-t", "tmpfs", "-o", f"size={self._size},mode=0700", "pyfl-chaos", str(directory)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603

    def fill(self, peer: ChaosPeer) -> None:
        """From now on the peer cannot write more."""
        if self.kind == "tmpfs":
            with (peer.data_dir / BALLAST).open("wb", buffering=0) as file:
                _write_until_full(file)
        elif peer.pid is not None:
            self._limits[peer.index] = resource.prlimit(peer.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(peer.pid, resource.RLIMIT_FSIZE, (0, self._limits[peer.index][1]))

    def free(self, peer: ChaosPeer) -> None:
        """There is room again."""
        (peer.data_dir / BALLAST).unlink(missing_ok=True)
        before = self._limits.pop(peer.index, None)
        if before is not None and peer.pid is not None:
            with suppress(ProcessLookupError):
                resource.prlimit(peer.pid, resource.RLIMIT_FSIZE, before)

    def keep(self) -> None:
        """Copy what is in mounted directories beside them, so that it can still be looked at."""
        for directory in self._mounted:
            shutil.copytree(directory, directory.with_name(f"{directory.name}-kept"), ignore=shutil.ignore_patterns("http.sock", BALLAST))

    def _unmount(self) -> None:
        for directory in self._mounted:
            done = subprocess.run(["umount", str(directory)], capture_output=True, text=True, check=False)  # noqa: S603, S607
            if done.returncode:
                raise ChaosError(f"{directory} could not be unmounted: {done.stderr.strip()}. Look who is in it, and `umount` it.")
        self._mounted.clear()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._unmount()


def _write_until_full(file: RawIOBase) -> None:
    try:
        while True:
            file.write(b"\0" * BLOCK)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise

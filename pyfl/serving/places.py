"""Where a peer's socket is: `http.sock` in its data directory, or the file that `http.sock.path` names."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["SOCKET", "choose_socket", "forget_socket", "published_socket"]

SOCKET = "http.sock"
POINTER = "http.sock.path"
LONGEST = 100  # bytes; Linux takes 107 in sun_path, macOS 103


def choose_socket(wanted: Path) -> Path:
    """Where to listen for `wanted`; a path too long for a socket gets one in a temporary directory, written beside it."""
    pointer = wanted.with_name(wanted.name + ".path")
    if len(os.fsencode(wanted.absolute())) <= LONGEST:
        pointer.unlink(missing_ok=True)
        return wanted
    if pointer.exists() and (before := Path(pointer.read_text().strip())).exists():
        return before  # of a peer that runs or was killed; whoever listens finds out which
    place = Path(tempfile.mkdtemp(prefix="pyfl-")) / SOCKET
    draft = pointer.with_name(pointer.name + ".new")
    draft.write_text(f"{place}\n")
    os.replace(draft, pointer)
    return place


def forget_socket(wanted: Path, place: Path) -> None:
    """Remove a socket that `choose_socket` gave, and what it wrote."""
    place.unlink(missing_ok=True)
    if place != wanted:
        wanted.with_name(wanted.name + ".path").unlink(missing_ok=True)
        place.parent.rmdir()


def published_socket(data_dir: Path) -> Path:
    """The socket of the peer that runs in `data_dir`, if one does."""
    pointer = data_dir / POINTER
    return Path(pointer.read_text().strip()) if pointer.exists() else data_dir / SOCKET

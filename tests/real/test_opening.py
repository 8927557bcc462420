"""A peer that cannot open everything gives back what it has opened: its port is free again, and its threads are gone."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from pyfl.errors import PyflError
from pyfl.overlay.free_port import free_ports
from pyfl.peer.process import Process
from pyfl.peer.settings import PeerSettings

pytestmark = pytest.mark.real


@pytest.mark.parametrize("what", ["checkpoints", "events.jsonl", "http.sock"])
def test_what_fails_after_the_overlay_was_opened_closes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setenv("PYFL_SWARM_KEY", "5e" * 32)
    (port,) = free_ports(1)
    data = tmp_path / "data"
    data.mkdir()
    if what == "checkpoints":
        (data / what).write_text("a file where a directory has to be")
    else:
        (data / what / "in the way").mkdir(parents=True)
    threads = threading.active_count()
    with pytest.raises((PyflError, OSError)):
        Process(PeerSettings(listen=f"127.0.0.1:{port}", data_dir=str(data)))
    assert threading.active_count() == threads
    with socket.create_server(("127.0.0.1", port)):
        pass

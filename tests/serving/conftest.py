"""A fake peer that serves its API on a real Unix socket, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pyfl.serving import serve
from pyfl.serving.client import PeerClient
from pyfl.serving.server import ApiServer
from tests.serving.fake_peer import FakePeer


@pytest.fixture
def peer() -> FakePeer:
    return FakePeer()


@pytest.fixture
def server(peer: FakePeer, tmp_path: Path) -> Iterator[ApiServer]:
    server = serve(peer, tmp_path / "http.sock")
    yield server
    server.stop()


@pytest.fixture
def client(server: ApiServer, tmp_path: Path) -> Iterator[PeerClient]:
    with PeerClient(tmp_path) as client:
        yield client

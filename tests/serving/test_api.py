"""What a peer's API promises, on a real Unix socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from pyfl.errors import ApiError, ControlError, NoPeerRunning
from pyfl.events import RunFinished, Stamped, Waiting
from pyfl.serving import serve
from pyfl.serving.client import PeerClient
from pyfl.serving.server import ApiServer
from tests.serving.fake_peer import ME, OTHER, FakePeer


@pytest.fixture
def http(server: ApiServer) -> Iterator[httpx.Client]:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(server.path)), base_url="http://peer", timeout=10) as http:
        yield http


def test_a_client_reads_what_the_peer_says(client: PeerClient, peer: FakePeer) -> None:
    assert client.status() == peer.status()
    assert client.peers() == peer.peers()
    assert client.rounds() == peer.rounds()
    assert client.tree(1) == {"segment": 1, "root": ME, "parent": {OTHER: ME}}


def test_a_command_reaches_the_peer_and_its_answer_comes_back(client: PeerClient, peer: FakePeer) -> None:
    assert client.control("kick", "heron") == "kick it is."
    assert peer.controlled == [("kick", "heron")]


def test_a_refused_command_says_why(client: PeerClient) -> None:
    with pytest.raises(ControlError, match="expected pause, resume, leave, kick or stop"):
        client.control("dance")
    with pytest.raises(ControlError, match="segments 0 to 1"):
        client.tree(2)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff\xfe", b'{"command": 1}', b'{"command": "pause", "force": true}'])
def test_a_command_that_cannot_be_read_changes_nothing(http: httpx.Client, peer: FakePeer, body: bytes) -> None:
    answer = http.post("/v1/control", content=body)
    assert answer.status_code == 400
    assert 'Expected {"command": "pause"}' in answer.json()["error"]
    assert peer.controlled == []


def test_a_command_too_long_is_refused_before_it_is_all_read(http: httpx.Client, peer: FakePeer) -> None:
    assert http.post("/v1/control", content=b"x" * 100_000).status_code == 413
    assert peer.controlled == []


def test_events_come_as_a_page_when_json_is_asked_for(client: PeerClient, peer: FakePeer) -> None:
    told = [peer.tell(Waiting(f"for {name}")) for name in ("heron", "lynx", "newt")]
    assert client.events() == told
    assert client.events(last=2) == told[2:]


def test_a_follower_gets_old_events_then_new_ones_and_the_last_before_the_server_stops(
    client: PeerClient, peer: FakePeer, server: ApiServer
) -> None:
    told = [peer.tell(Waiting("for heron"))]
    seen: list[Stamped] = []
    follower = threading.Thread(target=lambda: seen.extend(client.follow()))
    follower.start()
    assert peer.followed.wait(20)
    told.append(peer.tell(RunFinished(10)))
    server.stop()
    follower.join(20)
    assert seen == told


def test_a_follower_resumes_after_the_last_event_that_it_saw(client: PeerClient, peer: FakePeer) -> None:
    told = [peer.tell(Waiting(str(number))) for number in range(5)]
    stream = client.follow(last=3)
    assert [next(stream), next(stream)] == told[3:]


def test_a_follower_of_a_peer_that_restarted_gets_the_new_life_from_its_start(client: PeerClient, peer: FakePeer) -> None:
    told = peer.tell(Waiting("for heron"))
    assert next(client.follow(last=900)) == told


def test_the_stream_is_what_event_source_reads(http: httpx.Client, peer: FakePeer) -> None:
    told = peer.tell(Waiting("for heron"))
    with http.stream("GET", "/v1/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        block = [line for line in (next(lines) for _ in range(5)) if line and not line.startswith(":")]
    assert block == [f"id: {ME[:8]}-1", "event: waiting", f"data: {msgspec.json.encode(told).decode()}"]


def test_health_is_about_the_process_and_readiness_about_the_model(http: httpx.Client, tmp_path: Path) -> None:
    assert http.get("/healthz").status_code == 200
    assert http.get("/readyz").status_code == 200
    without = serve(FakePeer(have=-1), tmp_path / "other" / "http.sock")
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(without.path)), base_url="http://peer") as http_without:
            assert http_without.get("/healthz").status_code == 200
            answer = http_without.get("/readyz")
            assert (answer.status_code, answer.text) == (503, "not ready: for model 0\n")
    finally:
        without.stop()


def test_metrics_have_the_status_and_every_counter(http: httpx.Client) -> None:
    text = http.get("/metrics").text
    for line in ("pyfl_round 4.0", "pyfl_accuracy 0.875", "pyfl_peers 2.0", "pyfl_sent_bytes_total 7.0", "pyfl_inbox_depth 2.0"):
        assert line in text.splitlines()
    assert "# TYPE pyfl_sent_bytes_total counter" in text
    assert len(samples := [line.split(" ")[0] for line in text.splitlines() if line[0] != "#"]) == len(set(samples)), "a sample twice"


def test_the_openapi_page_describes_what_is_sent(http: httpx.Client) -> None:
    document: dict[str, Any] = http.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert {"Status", "PeerEntry", "RoundEntry", "Stamped", "ControlRequest", "Answer", "RoundCommitted"} <= schemas.keys()
    assert set(schemas["Status"]["properties"]) == set(FakePeer().status().__struct_fields__)


def test_only_this_user_can_open_the_socket(server: ApiServer) -> None:
    assert server.path is not None
    assert server.path.stat().st_mode & 0o777 == 0o600


def test_a_stopped_server_leaves_nothing_behind(peer: FakePeer, tmp_path: Path) -> None:
    server = serve(peer, tmp_path / "http.sock")
    server.stop()
    server.stop()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NoPeerRunning, match=f"No peer is running in {tmp_path}"):
        PeerClient(tmp_path)


def test_a_client_of_a_peer_that_ended_is_told_so(client: PeerClient, server: ApiServer) -> None:
    client.status()
    server.stop()
    with pytest.raises(NoPeerRunning):
        client.status()


def test_a_path_too_long_for_a_socket_is_served_all_the_same(peer: FakePeer, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    server = serve(peer, deep / "http.sock")
    assert (deep / "http.sock.path").read_text().strip() == str(server.path)
    with PeerClient(deep) as client:
        assert client.status() == peer.status()
    server.stop()
    assert list(deep.iterdir()) == []
    assert server.path is not None
    assert not server.path.parent.exists()


def test_a_killed_peers_socket_is_replaced_but_a_living_ones_is_not(peer: FakePeer, server: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="Another peer is running"):
        serve(peer, tmp_path / "http.sock")
    killed = tmp_path / "killed"
    killed.mkdir()
    with socket.socket(socket.AF_UNIX) as leftover:
        leftover.bind(str(killed / "http.sock"))
    again = serve(peer, killed / "http.sock")
    with PeerClient(killed) as client:
        assert client.status() == peer.status()
    again.stop()

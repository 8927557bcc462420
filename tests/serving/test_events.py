"""Event streams go on where a client stopped: after a broken connection, a restart of the peer, and never with another peer's numbers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pyfl.errors import ApiError, ConfigError, ControlError, NoPeerRunning
from pyfl.events import FaultSeen, RunFinished, Stamped, Waiting
from pyfl.peer.journal import Journal
from pyfl.serving.client import PeerClient
from pyfl.serving.limits import Limits
from pyfl.serving.server import ApiServer
from tests.serving.fake_peer import ME, OTHER, FakePeer
from tests.serving.tcp import TOKEN, client_of, served


def address_of(server: ApiServer) -> str:
    assert server.address is not None
    return f"{server.address[0]}:{server.address[1]}"


@pytest.fixture
def tcp(peer: FakePeer) -> Iterator[ApiServer]:
    with served(peer) as server:
        yield server


@pytest.fixture
def http(tcp: ApiServer) -> Iterator[httpx.Client]:
    with client_of(tcp) as http:
        yield http


def first_of_stream(http: httpx.Client, count: int, last: str = "", **query: str) -> list[str]:
    """The ids of the first events."""
    with http.stream("GET", "/v1/events", params=query, headers={"Last-Event-ID": last} if last else {}) as answer:
        assert answer.status_code == 200
        found: list[str] = []
        for line in answer.iter_lines():
            if line.startswith("id: "):
                found.append(line[4:])
                if len(found) == count:
                    return found
    raise AssertionError(f"the stream ended after {found}")


def test_a_stream_goes_on_after_the_id_that_came_last(http: httpx.Client, peer: FakePeer) -> None:
    for number in range(5):
        peer.tell(Waiting(str(number)))
    ids = first_of_stream(http, 5)
    assert ids == [f"{ME[:8]}-{number}" for number in range(1, 6)]
    assert first_of_stream(http, 2, last=ids[2]) == ids[3:]
    assert first_of_stream(http, 2, after="3") == ids[3:]


@pytest.mark.parametrize("last", [f"{OTHER[:8]}-3", "nonsense", "-1", "9" * 400, f"{ME[:8]}-77", "3; DROP", "३"])
def test_an_id_that_means_nothing_here_is_answered_from_the_beginning(http: httpx.Client, peer: FakePeer, last: str) -> None:
    for number in range(5):
        peer.tell(Waiting(str(number)))
    header = {b"Last-Event-ID": last.encode()}
    with http.stream("GET", "/v1/events", headers=header) as answer:
        first = next(line for line in answer.iter_lines() if line.startswith("id: "))
    assert first == f"id: {ME[:8]}-1"


def test_a_stream_may_be_of_some_kinds_alone(http: httpx.Client, peer: FakePeer) -> None:
    for event in (Waiting("a"), FaultSeen("x", "y"), Waiting("b"), RunFinished(3)):
        peer.tell(event)
    assert first_of_stream(http, 2, kind="fault,run_finished") == [f"{ME[:8]}-2", f"{ME[:8]}-4"]
    page = http.get("/v1/events?kind=waiting&kind=fault", headers={"Accept": "application/json"}).json()
    assert [event["id"] for event in page] == [1, 2, 3]
    refused = http.get("/v1/events?kind=weather")
    assert refused.status_code == 422
    assert "there are coordinator_changed, fault" in refused.json()["error"]


def test_a_follower_misses_nothing_and_gets_nothing_twice_when_its_peer_restarts(tmp_path: Path) -> None:
    peer = FakePeer()
    peer.journal = Journal(tmp_path / "events.jsonl", ME)
    told = [peer.tell(Waiting(str(number))) for number in range(3)]
    with served(peer) as server, client_of(server) as http:
        last = first_of_stream(http, 2)[-1]
    peer.journal.close()
    again = FakePeer()
    again.journal = Journal(tmp_path / "events.jsonl", ME)
    told.append(again.tell(RunFinished(3)))
    with served(again) as server, client_of(server) as http:
        assert first_of_stream(http, 2, last=last) == [f"{ME[:8]}-{event.id}" for event in told[2:]] == [f"{ME[:8]}-3", f"{ME[:8]}-4"]
    again.journal.close()


def test_followers_beyond_those_that_fit_are_told_to_come_again(peer: FakePeer) -> None:
    peer.tell(Waiting("x"))
    with served(peer, Limits(streams=1)) as server, client_of(server) as http, http.stream("GET", "/v1/events") as first:
        assert first.status_code == 200
        refused = http.get("/v1/events")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert http.get("/v1/events", headers={"Accept": "application/json"}).status_code == 200


def test_a_client_over_tcp_does_what_one_on_the_socket_does(tcp: ApiServer, peer: FakePeer) -> None:
    told = [peer.tell(Waiting(str(number))) for number in range(3)]
    with PeerClient.over_tcp(address_of(tcp), TOKEN) as client:
        assert client.status() == peer.status()
        assert client.peers() == peer.peers()
        assert client.events(1) == told[1:]
        assert client.control("pause") == "pause it is."
        with pytest.raises(ControlError, match="segments 0 to 1"):
            client.tree(2)
        stream = client.follow(1)
        assert [next(stream), next(stream)] == told[1:]
        stream.close()


def test_a_client_with_a_wrong_token_or_address_is_told_what_is_wrong(tcp: ApiServer) -> None:
    with PeerClient.over_tcp(address_of(tcp), "x" * 32) as client, pytest.raises(ApiError, match=r"401 .*http\.token"):
        client.status()
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        PeerClient.over_tcp("7780", TOKEN)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(NoPeerRunning, match="address of its HTTP API"):
            PeerClient.over_tcp(f"127.0.0.1:{nobody.getsockname()[1]}", TOKEN)


def test_a_client_whose_connection_breaks_goes_on_where_it_was(tcp: ApiServer, peer: FakePeer) -> None:
    """Between the two stands a proxy that cuts the first connection in the middle of a stream."""
    told = [peer.tell(Waiting(str(number))) for number in range(4)]
    assert tcp.address is not None
    with _CuttingProxy(tcp.address, after=told[1]) as proxy, PeerClient.over_tcp(proxy.address, TOKEN) as client:
        stream = client.follow()
        assert [next(stream) for _ in told] == told
        assert proxy.cuts == 1
        stream.close()


class _CuttingProxy:
    """Passes bytes on; the first stream ends, without an end, behind the event `after`."""

    def __init__(self, target: tuple[str, int], after: Stamped) -> None:
        self._target, self._mark = target, f"id: {ME[:8]}-{after.id + 1}".encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> _CuttingProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            request = client.recv(65536)
            if not request:
                return  # a probe
            server.sendall(request)
            while answer := server.recv(65536):
                if not self.cuts and self._mark in answer:
                    self.cuts += 1
                    client.sendall(answer[: answer.index(self._mark)])
                    return
                try:
                    client.sendall(answer)
                except OSError:
                    return

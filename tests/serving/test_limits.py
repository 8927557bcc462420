"""What one client can take from a peer is bounded: requests, connections, time for headers and bodies, downloads."""

from __future__ import annotations

import socket

import httpx
import numpy as np
import pytest
from safetensors.numpy import load

from pyfl.errors import PeerBusy
from pyfl.serving.limits import Limits, Rates, Slots
from tests.serving.fake_peer import LAYOUT, FakePeer
from tests.serving.tcp import TOKEN, answer_to, client_of, served


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_client_may_burst_and_then_comes_at_the_rate() -> None:
    clock = Clock()
    rates = Rates(2.0, 3, clock)
    assert [rates.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert rates.take("b") == 0.0
    clock.now = 0.5
    assert rates.take("a") == 0.0
    assert rates.take("a") > 0.0
    clock.now = 1000.0
    assert [rates.take("a") > 0.0 for _ in range(4)] == [False, False, False, True]


def test_refused_requests_do_not_push_the_next_one_further_away() -> None:
    clock = Clock()
    rates = Rates(1.0, 1, clock)
    assert rates.take("a") == 0.0
    assert {rates.take("a") for _ in range(100)} == {1.0}
    clock.now = 1.0
    assert rates.take("a") == 0.0


def test_rates_of_many_clients_take_bounded_memory() -> None:
    rates = Rates(1.0, 1)
    for client in range(10_000):
        rates.take(client)
    assert len(rates._buckets) <= 4096  # pyright: ignore[reportPrivateUsage]


def test_slots_come_back_also_when_what_took_them_failed() -> None:
    slots = Slots(1, "things")
    with pytest.raises(ZeroDivisionError), slots:
        raise ZeroDivisionError
    with slots, pytest.raises(PeerBusy, match="1 things under way"), slots:
        pass
    with slots:
        pass


def test_who_asks_too_often_is_told_when_to_come_again_and_locks_out_nobody_with_the_token(peer: FakePeer) -> None:
    with served(peer, Limits(requests_per_s=0.01, burst=3)) as server, client_of(server) as friend, client_of(server, "") as stranger:
        codes = [stranger.get("/v1/status").status_code for _ in range(5)]
        assert codes == [401, 401, 401, 429, 429]
        assert stranger.get("/healthz").status_code == 429
        assert [friend.get("/v1/status").status_code for _ in range(3)] == [200, 200, 200]
        refused = friend.get("/v1/status")
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 100
        assert "asks more often" in refused.json()["error"]


@pytest.mark.parametrize("sent", [b"", b"GET /v1/st", b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX-A: b\r\n"])
def test_a_connection_whose_headers_do_not_come_is_closed(peer: FakePeer, sent: bytes) -> None:
    with served(peer, Limits(header_s=0.2)) as server:
        assert answer_to(server, sent) == b""


def test_a_second_request_that_comes_by_drops_is_cut_off_too(peer: FakePeer) -> None:
    whole = f"GET /v1/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    with served(peer, Limits(header_s=0.2)) as server:
        answer = answer_to(server, whole + b"GET /v1/peers HTTP/1.1\r\nHost: x\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_stream_is_not_cut_off_by_the_time_for_headers(peer: FakePeer) -> None:
    from pyfl.events import Waiting

    with served(peer, Limits(header_s=0.05)) as server, client_of(server) as http, http.stream("GET", "/v1/events") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": pyfl"
        assert answer_to(server, b"") == b""  # as long as it takes to close a silent connection
        peer.tell(Waiting("x"))
        assert next(line for line in lines if line.startswith("event")) == "event: waiting"


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/control"])
def test_a_body_that_does_not_come_is_given_up(peer: FakePeer, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nabc"
    with served(peer, Limits(body_s=0.1)) as server:
        answer = answer_to(server, head.encode())
    assert answer.startswith(b"HTTP/1.1 408")
    assert peer.controlled == []


@pytest.mark.parametrize("length", ["Content-Length: 100000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("token", ["", TOKEN])
def test_a_refused_request_whose_body_was_not_read_ends_its_connection(peer: FakePeer, length: str, token: str) -> None:
    """Else the server would go on reading what nobody wants."""
    head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: text/plain\r\n{length}\r\n\r\n"
    with served(peer) as server:
        answer = answer_to(server, head.encode())
    assert answer.startswith(b"HTTP/1.1 415" if token else b"HTTP/1.1 401")
    assert b"\r\nconnection: close\r\n" in answer.lower()


def test_headers_longer_than_any_are_refused(peer: FakePeer) -> None:
    with served(peer) as server:
        assert answer_to(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000)[:12] in (b"HTTP/1.1 400", b"")


@pytest.mark.parametrize(
    "raw", [b"\x16\x03\x01\x02\x00\x01\x00", b"\0" * 100, b"GET\r\n\r\n", b"\r\n\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)
def test_what_is_no_http_ends_the_connection_and_nothing_else(peer: FakePeer, raw: bytes) -> None:
    with served(peer, Limits(header_s=0.2)) as server:
        assert answer_to(server, raw)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 401", b"")
        with client_of(server) as http:
            assert http.get("/v1/status").status_code == 200


def test_connections_beyond_those_that_fit_are_refused_and_the_others_go_on(peer: FakePeer) -> None:
    with served(peer, Limits(connections=2)) as server:
        assert server.address is not None
        with client_of(server) as http, socket.create_connection(server.address):
            assert http.get("/v1/status").status_code == 200  # keeps its connection, the second of two
            assert answer_to(server, b"").startswith(b"HTTP/1.1 503")
            assert http.get("/v1/status").status_code == 200


def test_a_model_comes_as_safetensors_with_its_digest(peer: FakePeer) -> None:
    with served(peer) as server, client_of(server) as http:
        answer = http.get("/v1/model")
        refused = [http.get("/v1/model").status_code for _ in range(10)]  # one after another takes no slot twice
    assert refused == [200] * 10
    held = peer.model()
    assert (answer.headers["x-pyfl-round"], answer.headers["x-pyfl-digest"]) == ("3", held.saved.model)
    tensors = load(answer.content)
    assert set(tensors) == {tensor.name for tensor in LAYOUT.tensors}
    np.testing.assert_array_equal(tensors["dense/kernel"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(tensors["dense/bias"], [6, 7, 8])


def test_downloads_beyond_those_that_fit_are_told_to_come_again(peer: FakePeer) -> None:
    with served(peer, Limits(downloads=0)) as server, client_of(server) as http:
        refused: httpx.Response = http.get("/v1/model")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")

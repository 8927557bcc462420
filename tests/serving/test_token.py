"""Nothing but `/healthz` answers over TCP without the token, however it is asked."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx
import pytest

from pyfl.serving.api import create_app
from pyfl.serving.server import ApiServer
from tests.serving.fake_peer import FakePeer
from tests.serving.tcp import TOKEN, answer_to, client_of, served

OPEN = "/healthz"


@pytest.fixture(scope="module")
def peer() -> FakePeer:
    return FakePeer()


@pytest.fixture(scope="module")
def tcp(peer: FakePeer) -> Iterator[ApiServer]:
    with served(peer) as server:
        yield server


@pytest.fixture(autouse=True)
def nobody_asked_yet(peer: FakePeer) -> None:
    peer.controlled.clear()


def routes() -> list[tuple[str, str]]:
    described = create_app(FakePeer()).openapi()["paths"]
    found = [(method.upper(), path) for path, methods in described.items() for method in methods]
    return [*found, ("GET", "/docs"), ("GET", "/openapi.json")]


def test_every_route_of_the_description_needs_the_token_but_the_one_for_probes(tcp: ApiServer) -> None:
    assert len(routes()) > 12
    with client_of(tcp, token="") as stranger, client_of(tcp) as friend:
        for method, path in routes():
            if path == OPEN:
                assert stranger.request(method, path).status_code == 200
                continue
            refused = stranger.request(method, path)
            assert refused.status_code == 401, path
            assert refused.headers["www-authenticate"].endswith('realm="pyfl peer"')
            assert "http.token in the peer's data directory" in refused.json()["error"]
            if path != "/v1/events":
                assert friend.request(method, path).status_code != 401, path


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", f"Bearer{TOKEN}", TOKEN, f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}0",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN} {TOKEN}", f"Bearer {TOKEN},{TOKEN}", f"Token {TOKEN}", f'Bearer "{TOKEN}"', f"Bearer \t{TOKEN}",
        f"Bearer {TOKEN}\x00",
        f"Basic {TOKEN}", "Basic " + base64.b64encode(f"x:{TOKEN}".encode()).decode(), "Bearer " + "0" * 60_000, "Bearer null",
    ],
)  # fmt: skip
def test_a_wrong_token_is_refused(tcp: ApiServer, peer: FakePeer, header: str) -> None:
    raw = b"POST /v1/control HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 20\r\nAuthorization: %s\r\n\r\n%s"
    answer = answer_to(tcp, raw % (header.encode(), b'{"command": "pause"}'))
    assert answer.split(b" ")[1] in (b"401", b"400"), answer[:200]
    assert peer.controlled == []


def test_the_scheme_may_be_written_in_any_case(tcp: ApiServer) -> None:
    with client_of(tcp, token="") as http:
        assert http.get("/v1/status", headers={"Authorization": f"bEARER  {TOKEN}"}).status_code == 200


@pytest.mark.parametrize("token", ["токен-" * 8, "\udcff" * 20, "１２３４" * 16])
def test_a_token_that_is_no_ascii_is_wrong_and_no_more(tcp: ApiServer, token: str) -> None:
    with client_of(tcp, token="") as http:
        header = {b"Authorization": b"Bearer " + token.encode("utf-8", "surrogateescape")}
        assert http.get("/v1/status", headers=header).status_code == 401


def test_the_token_counts_in_the_header_alone(tcp: ApiServer) -> None:
    with client_of(tcp, token="") as http:
        for query in ({"token": TOKEN}, {"access_token": TOKEN}, {"Authorization": f"Bearer {TOKEN}"}):
            assert http.get("/v1/status", params=query).status_code == 401
        assert http.get("/v1/status", headers={"Cookie": f"token={TOKEN}"}).status_code == 401
        assert http.get("/v1/status", headers={"Proxy-Authorization": f"Bearer {TOKEN}"}).status_code == 401
        two = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")]
        assert http.get("/v1/status", headers=two).status_code == 401


@pytest.mark.parametrize(
    "target",
    [
        "/healthz/../v1/status", "/healthz/%2e%2e/v1/status", "//v1/status", "/v1//status", "/v1/status/", "/V1/STATUS", "/v1/status%00",
        "/healthz;/v1/status", "/healthz%2f..%2fv1%2fstatus", "/healthz?/v1/status", "/./v1/status", "/%76%31/status", "/v1/status#healthz",
        "http://x/v1/status", "http://x/healthz/../v1/status", "/healthz\\..\\v1\\status", "/docs/../v1/status", "*", "/static/../v1/model",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "PUT", "get", "TRACE", "CONNECT", "FOO"])
def test_no_path_and_no_method_goes_round_it(tcp: ApiServer, method: str, target: str) -> None:
    lines = (
        f"{method} {target} HTTP/1.1\r\nHost: x\r\nX-Original-URL: /healthz\r\nX-HTTP-Method-Override: GET\r\nX-Forwarded-Path: /healthz"
    )
    answer = answer_to(tcp, f"{lines}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
    code = answer.split(b" ")[1]
    probe = target.startswith("/healthz?") and method == "GET"
    assert code == b"200" if probe else code in (b"400", b"401"), answer[:200]
    assert b"otter" not in answer


def test_a_websocket_gets_no_further(tcp: ApiServer) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZQ==", "Sec-WebSocket-Version": "13"}
    with client_of(tcp, token="") as http:
        assert http.get("/v1/events", headers=upgrade).status_code == 401


def test_a_second_request_on_a_connection_needs_it_as_the_first_did(tcp: ApiServer) -> None:
    friend = f"GET /v1/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    stranger = "GET /v1/peers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = answer_to(tcp, (friend + stranger).encode())
    assert [found[:3] for found in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"401"]


def test_a_browser_may_give_it_as_a_password_for_the_description_and_for_nothing_else(tcp: ApiServer) -> None:
    with client_of(tcp, token="") as http:
        assert http.get("/docs").headers["www-authenticate"] == 'Basic realm="pyfl peer"'
        for path in ("/docs", "/openapi.json"):
            assert http.get(path, auth=("anyone", TOKEN)).status_code == 200
            assert http.get(path, auth=("anyone", "wrong")).status_code == 401
            assert http.get(path, auth=(TOKEN, "")).status_code == 401
            assert http.get(path, headers={"Authorization": "Basic %%%"}).status_code == 401
        assert http.get("/v1/status", auth=("anyone", TOKEN)).status_code == 401
        assert http.post("/v1/control", auth=("anyone", TOKEN), json={"command": "stop"}).status_code == 401


def test_other_origins_are_promised_nothing(tcp: ApiServer) -> None:
    with client_of(tcp) as http:
        answer = http.get("/v1/status", headers={"Origin": "https://evil.example"})
        preflight = http.options("/v1/control", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"})
        assert not [name for found in (answer, preflight) for name in found.headers if name.startswith("access-control")]


def test_the_page_of_the_description_asks_no_other_host_and_runs_no_script(tcp: ApiServer) -> None:
    with client_of(tcp) as http:
        answer = http.get("/docs")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<script" not in answer.text
    assert "src=" not in answer.text
    assert [link for link in answer.text.split('href="')[1:] if not link.startswith("/openapi.json")] == []
    for path in ("/v1/predict", "/v1/local", "curl"):
        assert path in answer.text


def test_commands_work_over_tcp_with_the_token(tcp: ApiServer, peer: FakePeer) -> None:
    with client_of(tcp) as http:
        assert http.post("/v1/control", json={"command": "kick", "argument": "heron"}).json()["message"] == "kick it is."
    assert peer.controlled == [("kick", "heron")]


def test_a_path_that_does_not_exist_is_a_sentence(tcp: ApiServer) -> None:
    with client_of(tcp) as http:
        assert "/docs lists what there is" in http.get("/v2").json()["error"]
        assert http.delete("/v1/status").status_code == 405
        assert isinstance(http.get("/v1/tree?segment=x"), httpx.Response)
        assert "segment" in http.get("/v1/tree?segment=x").json()["error"]

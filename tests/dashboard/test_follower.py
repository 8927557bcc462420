"""The connection over real sockets: what it says when nobody, a stranger or a guard answers, and how it goes on when a peer dies."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pyfl.events import RoundCommitted
from pyfl.overlay.free_port import free_ports
from streamlit_app.connection.answers import AnswerError, NoModelYet, NotAPeer, PeerSilent, Refused, WrongToken
from streamlit_app.connection.client import PeerApi
from streamlit_app.connection.follower import Follower
from streamlit_app.connection.picture import Picture
from streamlit_app.connection.targets import Target, read_target
from tests.dashboard.fake_swarm import NAMES, TOKEN, FakeSwarm, identity

pytestmark = pytest.mark.real
LIMIT_S = 20.0  # a watchdog, not a claim


@pytest.fixture
def swarm() -> Iterator[FakeSwarm]:
    with FakeSwarm() as swarm:
        yield swarm.play(2)


@contextmanager
def following(target: Target) -> Iterator[Callable[[Callable[[Picture], bool]], Picture]]:
    """A follower; what is yielded waits until its picture is as told."""
    follower = Follower(target)
    looked = threading.Event()

    def until(reached: Callable[[Picture], bool]) -> Picture:
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            picture = follower.picture()
            if reached(picture):
                return picture
            looked.wait(0.05)
        raise AssertionError(f"not within {LIMIT_S:g} s; the link is {follower.picture().link}")

    try:
        yield until
    finally:
        follower.close()


def refusal(address: str, token: str = TOKEN) -> AnswerError:
    with pytest.raises(AnswerError) as caught, PeerApi(address, token) as api:
        api.status()
    return caught.value


# ---- what is said of a wrong address


def test_a_port_without_a_listener_is_told_with_what_to_do() -> None:
    error = refusal(f"127.0.0.1:{free_ports(1)[0]}")
    assert isinstance(error, PeerSilent)
    assert "Nothing listens" in str(error)
    assert "--http" in error.advice


def test_the_port_of_the_swarm_instead_of_http_is_told_as_such() -> None:
    """A peer's own port speaks TLS: it closes on a request in the clear, or answers with an alert."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"\x15\x03\x01\x00\x02\x02\x46")

        thread = threading.Thread(target=hang_up)
        thread.start()
        error = refusal(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert isinstance(error, NotAPeer)
    assert "does not speak HTTP" in str(error)
    assert "port of the swarm" in error.advice


@pytest.mark.parametrize(("code", "body"), [(200, b"<html>hello</html>"), (404, b"not here"), (200, b'{"peer": 3}'), (500, b"\xff\xfe")])
def test_somebody_elses_server_is_not_taken_for_a_peer(code: int, body: bytes) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Stranger)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        assert isinstance(refusal(f"127.0.0.1:{server.server_address[1]}"), NotAPeer)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("address", ["", "no port", "http://x:1/", "[::1", "127.0.0.1:99999", "a\nb:1"])
def test_what_is_no_address_is_an_answer_error_too(address: str) -> None:
    assert isinstance(refusal(address), AnswerError)


def test_a_wrong_token_says_where_the_right_one_is(swarm: FakeSwarm) -> None:
    error = refusal(swarm.peers[0].address, "guessed")
    assert isinstance(error, WrongToken)
    assert "http.token" in error.advice


def test_before_the_first_commit_there_is_no_model_to_ask() -> None:
    with FakeSwarm() as swarm, PeerApi(swarm.peers[0].address, TOKEN) as api:
        with pytest.raises(NoModelYet, match="committed"):
            api.predict(b"picture", "image/png")
        swarm.play(1)
        answer = api.predict(b"picture", "image/png")
    assert (answer.predictions[0].name, answer.round) == ("3", 1)


# ---- following


def test_the_picture_has_every_peer_with_its_own_figures_and_all_their_events(swarm: FakeSwarm) -> None:
    with following(Target((swarm.peers[2].address,), TOKEN)) as until:
        picture = until(lambda seen: len(seen.locals) == 6 and {event.peer for event in seen.events} == {identity(n) for n in NAMES})
    assert picture.link.state == "live"
    assert [seen.called for seen in picture.peers] == list(NAMES)
    assert [entry.round for entry in picture.rounds] == [1, 2]
    assert [event.time for event in picture.events] == sorted(event.time for event in picture.events)


def test_events_come_as_they_happen_and_once(swarm: FakeSwarm) -> None:
    with following(Target((swarm.peers[0].address,), TOKEN)) as until:
        until(lambda seen: bool(seen.events))
        swarm.play(3)
        picture = until(lambda seen: sum(isinstance(e.data, RoundCommitted) and e.data.round == 5 for e in seen.events) == 6)
    assert len({(event.peer, event.id) for event in picture.events}) == len(picture.events)
    assert [entry.round for entry in picture.rounds] == [1, 2, 3, 4, 5]


def test_when_the_peer_that_is_asked_dies_another_is_asked_and_the_death_is_seen(swarm: FakeSwarm) -> None:
    with following(Target((swarm.peers[0].address,), TOKEN)) as until:
        before = until(lambda seen: seen.link.state == "live" and len(seen.locals) == 6)
        first = before.link.address
        swarm.peers[0].die()
        after = until(lambda seen: seen.link.state == "live" and seen.link.address != first and bool(seen.peers[0].gone))
    assert after.link.moved_from == first
    assert after.peers[0].gone == "died"
    assert {seen.called: seen.place for seen in after.peers} == {seen.called: seen.place for seen in before.peers}


def test_when_nobody_answers_what_was_seen_stays_and_is_called_stale(swarm: FakeSwarm) -> None:
    with following(Target((swarm.peers[0].address,), TOKEN)) as until:
        seen_at = until(lambda seen: seen.link.state == "live").link.seen_at
        for peer in swarm.peers:
            peer.stop()
        stale = until(lambda seen: seen.link.state == "stale")
        assert len(stale.peers) == 6
        assert stale.link.seen_at >= seen_at
        assert "Nothing listens" in stale.link.problem
        swarm.peers[3].serve()
        until(lambda seen: seen.link.state == "live" and seen.link.address == swarm.peers[3].address)


def test_a_peer_that_starts_later_and_a_token_that_is_written_later_are_found(tmp_path: Path) -> None:
    swarm, token = FakeSwarm(), tmp_path / "http.token"
    [swarm.peers[1].port] = free_ports(1)
    with following(Target((f"127.0.0.1:{swarm.peers[1].port}",), token_file=str(token))) as until:
        assert until(lambda seen: seen.link.state == "unreachable").link.title == "No peer answers"
        with swarm:
            assert "http.token" in until(lambda seen: seen.link.state == "refused").link.advice
            token.write_text(TOKEN + "\n")
            until(lambda seen: seen.link.state == "live")


def test_another_run_at_the_same_address_begins_a_new_picture(swarm: FakeSwarm) -> None:
    with following(Target((swarm.peers[0].address,), TOKEN)) as until:
        until(lambda seen: len(seen.rounds) == 2 and bool(seen.events))
        swarm.run = "b" * 32
        swarm.committed.clear()
        for peer in swarm.peers:
            peer.journal.clear()
        until(lambda seen: seen.status is not None and seen.status.run == "b" * 32 and not seen.rounds)


def test_a_segments_tree_is_asked_once_an_epoch_and_kept_while_nobody_answers(swarm: FakeSwarm) -> None:
    follower = Follower(Target((swarm.peers[0].address,), TOKEN))
    try:
        waiting = threading.Event()
        deadline = time.monotonic() + LIMIT_S
        while follower.picture().link.state != "live" and time.monotonic() < deadline:
            waiting.wait(0.05)
        tree = follower.tree(1)
        assert tree.root == identity("finch")
        for peer in swarm.peers:
            peer.stop()
        assert follower.tree(1) == tree
    finally:
        follower.close()


# ---- whom to ask


def test_arguments_go_before_the_environment() -> None:
    environment = {"PYFL_DASHBOARD_PEERS": "a:1, b:2", "PYFL_DASHBOARD_TOKEN": "secret"}
    assert read_target([], environment) == Target(("a:1", "b:2"), "secret")
    assert read_target(["--peer", "c:3", "--token-file", "f"], environment) == Target(("c:3",), "", "f")


def test_a_data_directory_names_the_token_of_its_peer(tmp_path: Path) -> None:
    (tmp_path / "otter").mkdir()
    (tmp_path / "otter/http.token").write_text("secret\n")
    target = read_target(["--peer", "a:1", "--data-dir", str(tmp_path)], {})
    assert target.secret() == "secret"
    assert read_target(["--peer", "a:1", "--data-dir", str(tmp_path / "otter")], {}).secret() == "secret"


def test_an_unknown_segment_is_refused_with_the_peers_own_words(swarm: FakeSwarm) -> None:
    swarm.segments = 2
    with PeerApi(swarm.peers[0].address, TOKEN) as api, pytest.raises(Refused, match="does not exist"):
        api.tree(7)

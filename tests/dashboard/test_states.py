"""What a page shows while there is nothing to show, or no longer: Streamlit's own test of an app, without a browser or sockets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from streamlit_app.connection import shared
from streamlit_app.connection.answers import NoModelYet, NotAPeer, PeerSilent, Tree, WrongToken
from streamlit_app.connection.memory import Memory
from streamlit_app.connection.picture import Link, LinkState, Picture
from streamlit_app.connection.targets import Target
from tests.dashboard.fake_swarm import FakeSwarm
from tests.dashboard.pictures import look, remember

DASHBOARD = Path(__file__).resolve().parents[2] / "streamlit_app" / "dashboard.py"
PATHS = ("swarm", "peers", "learning", "rounds", "events", "predict")
Show = Callable[..., AppTest]


class StillFollower:
    """Shows one picture for ever."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    def picture(self) -> Picture:
        return self._picture

    def tree(self, segment: int) -> Tree:
        return Tree()

    def api(self) -> None:
        raise NoModelYet("No round is committed yet.", "Ask again after the first commit.")


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Show:
    def run(picture: Picture | None, path: str = "swarm") -> AppTest:
        monkeypatch.setattr(shared, "follower", lambda: None if picture is None else StillFollower(picture))
        monkeypatch.setattr(shared, "chosen", lambda: Target(("127.0.0.1:8001",)))
        if path:
            page = AppTest.from_string(f"from streamlit_app.app_pages import {path}\n{path}.page()", default_timeout=30).run()
        else:
            page = AppTest.from_file(str(DASHBOARD), default_timeout=30).run()
        assert not page.exception, page.exception
        return page

    return run


def words(page: AppTest) -> str:
    kinds = (page.error, page.warning, page.info, page.markdown, page.caption, page.title)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def broken(state: LinkState, error: Exception, seen_at: float = 0.0) -> Link:
    title, advice = getattr(error, "title", ""), getattr(error, "advice", "")
    return Link(state, "", title, str(error), advice, seen_at)


@pytest.mark.parametrize("path", PATHS)
def test_every_page_draws_a_swarm_that_trains(show: Show, path: str) -> None:
    page = show(look(FakeSwarm().play(3)), path)
    assert page.title[0].value == path.capitalize()
    assert not page.error
    assert not page.warning


@pytest.mark.parametrize("path", PATHS)
def test_every_page_draws_a_swarm_that_has_just_met(show: Show, path: str) -> None:
    page = show(look(FakeSwarm()), path)
    assert not page.error


def test_the_way_in_shows_the_swarm_and_through_whom_it_is_seen(show: Show) -> None:
    page = show(look(FakeSwarm().play(3)), "")
    assert page.title[0].value == "Swarm"
    assert "seen through **badger** at `127.0.0.1:8001`" in page.sidebar.caption[0].value


@pytest.mark.parametrize("path", PATHS)
def test_without_an_address_every_page_asks_for_one(show: Show, path: str) -> None:
    page = show(None, path)
    assert [field.label for field in page.text_input] == ["Address of a peer", "Token"]
    assert "HTTP address of any one of its peers" in words(page)


def test_an_empty_address_is_refused_with_an_example(show: Show) -> None:
    page = show(None)
    page.button[0].click().run()
    assert "HOST:PORT" in page.error[0].value


def test_what_was_typed_is_looked_at(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[Target] = []
    monkeypatch.setattr(shared, "choose", chosen.append)
    page = show(None)
    page.text_input[0].set_value("10.0.0.4:8001")
    page.text_input[1].set_value(" secret ")
    page.button[0].click().run()
    assert chosen == [Target(("10.0.0.4:8001",), "secret")]


def test_while_connecting_it_says_to_whom(show: Show) -> None:
    assert "Connecting to 127.0.0.1:8001" in show(Picture(Link("connecting"))).info[0].value


@pytest.mark.parametrize(
    ("state", "error", "told"),
    [
        (
            "unreachable",
            PeerSilent("Nothing listens at 127.0.0.1:8001.", "Start peers with `--http`."),
            "Nothing listens at 127.0.0.1:8001",
        ),
        ("unreachable", NotAPeer("Something listens and does not speak HTTP.", "Is it the port of the swarm?"), "port of the swarm"),
        ("refused", WrongToken("It asks for another token.", "It is in `http.token`."), "http.token"),
    ],
)
def test_an_address_or_a_token_that_is_wrong_is_told_with_a_way_to_mend_it(
    show: Show, state: LinkState, error: Exception, told: str
) -> None:
    page = show(Picture(broken(state, error)), "learning")
    assert told in page.error[0].value
    assert "goes on trying" in words(page)
    assert [field.label for field in page.text_input] == ["Address of a peer", "Token"]


def test_what_is_not_fresh_stays_visible_and_says_how_old_it_is(show: Show) -> None:
    swarm, memory = FakeSwarm().play(3), Memory()
    error = PeerSilent("Nothing listens at 127.0.0.1:8001.", "")
    page = show(remember(memory, swarm).picture(broken("stale", error, swarm.now), swarm.now))
    assert "No peer answers any more" in page.warning[0].value
    assert "ago" in page.warning[0].value
    assert page.metric[0].value == "3 of 10"


def test_before_the_first_commit_predict_says_that_there_is_no_model_yet(show: Show) -> None:
    page = show(look(FakeSwarm()), "predict")
    page.button(key="predict-3").click().run()
    assert "No model yet" in page.info[0].value
    assert not page.error


def test_filters_of_events_narrow_the_table(show: Show) -> None:
    page = show(look(FakeSwarm().play(2)), "events")
    everything = len(page.dataframe[0].value)
    page.multiselect(key="events-peers").select(page.multiselect(key="events-peers").options[0]).run()
    assert 0 < len(page.dataframe[0].value) < everything

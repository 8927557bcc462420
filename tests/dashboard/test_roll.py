"""Places in the graph: nobody who stays is moved by those who come and go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyfl.events import PeerLeft, Stamped
from pyfl.peer.status import PeerEntry
from streamlit_app.connection.picture import SeenPeer
from streamlit_app.connection.roll import REMEMBERED_S, Roll
from streamlit_app.figures.places import points


def entry(name: str, site: str = "") -> PeerEntry:
    return PeerEntry(f"{name:0>32}", name, "10.0.0.1:7700", labels={"site": site} if site else {})


def placed(roll: Roll) -> dict[str, int]:
    return {seen.called: seen.place for seen in roll.peers()}


@given(st.lists(st.sets(st.sampled_from("abcdefghij")), min_size=1, max_size=12))
def test_whoever_is_seen_keeps_its_place_and_no_two_have_the_same(moments: list[set[str]]) -> None:
    roll, before, where = Roll(), dict[str, int](), dict[str, tuple[float, float]]()
    for now, present in enumerate(moments):
        roll.call([entry(name) for name in present], float(now))
        after = placed(roll)
        assert {name: after[name] for name in before} == before
        assert len(set(after.values())) == len(after)
        here = points(roll.peers())
        assert {peer: here[peer] for peer in where} == where
        before, where = after, here


def test_within_a_site_nobody_is_moved_either() -> None:
    roll = Roll()
    roll.call([entry("a", "x"), entry("b", "y"), entry("c", "x"), entry("d", "y"), entry("e", "x")], 0.0)
    before = points(roll.peers())
    assert len(set(before.values())) == 5
    roll.call([entry("b", "y"), entry("c", "x"), entry("d", "y"), entry("e", "x")], 1.0)
    roll.call([entry("b", "y"), entry("c", "x"), entry("d", "y"), entry("e", "x"), entry("f", "x")], 2.0 + REMEMBERED_S)
    after = points(roll.peers())
    assert {peer: after[peer] for peer in after if peer in before} == {peer: at for peer, at in before.items() if peer in after}
    assert len(after) == 5


def test_the_first_to_be_seen_are_in_the_order_of_their_names() -> None:
    roll = Roll()
    roll.call([entry(name) for name in ("otter", "badger", "lynx")], 0.0)
    assert placed(roll) == {"badger": 0, "lynx": 1, "otter": 2}


def test_the_place_of_one_long_gone_is_given_to_the_next() -> None:
    roll = Roll()
    roll.call([entry("a"), entry("b"), entry("c")], 0.0)
    roll.call([entry("a"), entry("c")], 1.0)
    roll.call([entry("a"), entry("c"), entry("d")], 2.0)
    assert placed(roll) == {"a": 0, "b": 1, "c": 2, "d": 3}
    roll.call([entry("a"), entry("c"), entry("d")], 2.0 + REMEMBERED_S)
    roll.call([entry("a"), entry("c"), entry("d"), entry("e")], 3.0 + REMEMBERED_S)
    assert placed(roll) == {"a": 0, "c": 2, "d": 3, "e": 1}


def test_a_peer_that_comes_back_is_at_its_place_and_alive() -> None:
    roll = Roll()
    roll.call([entry("a"), entry("b")], 0.0)
    roll.call([entry("b")], 1.0)
    assert [seen.gone for seen in roll.peers()] == ["died", ""]
    roll.call([entry("a"), entry("b")], 2.0)
    assert [(seen.gone, seen.place) for seen in roll.peers()] == [("", 0), ("", 1)]


def test_whoever_said_goodbye_has_left_and_others_have_died() -> None:
    roll = Roll()
    roll.call([entry("a"), entry("b"), entry("c")], 0.0)
    roll.call([entry("c")], 1.0)
    roll.hear(
        [Stamped(1, 1.0, 1.0, "c", PeerLeft(entry("a").peer, "left")), Stamped(2, 1.0, 1.0, "c", PeerLeft(entry("b").peer, "refused"))]
    )
    assert [seen.gone for seen in roll.peers()] == ["left", "died", ""]


def test_a_gone_peer_does_nothing() -> None:
    seen = SeenPeer(PeerEntry("p", "a", "x", phase="training"), 0, gone="died")
    assert seen.phase == "gone"

"""Figures of a played swarm: what a chart or a table says is what the peers said."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from pyfl import events
from pyfl.events import Stamped
from pyfl.peer.status import Guess, PeerEntry, Prediction
from streamlit_app.connection.answers import Tree
from streamlit_app.connection.picture import Picture, SeenPeer
from streamlit_app.figures.event_rows import KINDS, event_rows, kind_of
from streamlit_app.figures.key_figures import key_figures, sentence
from streamlit_app.figures.learning import accuracy_curve, class_map, loss_curves
from streamlit_app.figures.numbers import byte_count, percent, seconds, span
from streamlit_app.figures.palette import PHASES, ink, phase_of
from streamlit_app.figures.peer_charts import classes_held, speed
from streamlit_app.figures.peer_table import history_table, peer_table
from streamlit_app.figures.phase_spans import phase_spans
from streamlit_app.figures.places import place_at, points
from streamlit_app.figures.present_phase import with_own_words
from streamlit_app.figures.round_table import round_table
from streamlit_app.figures.swarm_graph import swarm_graph
from streamlit_app.figures.tiers import depths, tier_points
from streamlit_app.figures.timeline import of_rounds, timeline
from streamlit_app.figures.top_classes import top_classes
from tests.dashboard.fake_swarm import NAMES, FakeSwarm, identity
from tests.dashboard.pictures import look

INK = ink(dark=False)


@pytest.fixture
def picture() -> Picture:
    return look(FakeSwarm().play(4))


def nodes(option: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in option["series"][0]["data"]}


def tree_of(swarm: FakeSwarm, segment: int = 0) -> Tree:
    return msgspec.convert(swarm.tree(segment), Tree)


# ---- the graph


def test_the_graph_has_a_node_for_each_peer_in_the_colour_of_what_it_does() -> None:
    swarm = FakeSwarm().play(1)
    for colour in ("training", "reducing", "holding"):
        swarm.step()
        drawn = nodes(swarm_graph(look(swarm).peers, Tree(), INK))
        assert set(drawn) == set(NAMES)
        assert {node["itemStyle"]["color"] for node in drawn.values()} == {PHASES[colour].colour}


def test_arrows_are_those_of_the_segments_tree_and_its_root_is_larger() -> None:
    swarm = FakeSwarm().play(1)
    for segment in (0, 3):
        tree = tree_of(swarm, segment)
        option = swarm_graph(look(swarm).peers, tree, INK)
        assert {(link["source"], link["target"]) for link in option["series"][0]["links"]} == set(tree.parent.items())
        sizes = {node["id"]: node["symbolSize"] for node in option["series"][0]["data"]}
        assert max(sizes, key=lambda peer: sizes[peer]) == tree.root == identity(NAMES[segment])


def test_coordinator_and_voters_are_marked_by_ring_and_word(picture: Picture) -> None:
    drawn = nodes(swarm_graph(picture.peers, Tree(), INK))
    widths = {name: node["itemStyle"]["borderWidth"] for name, node in drawn.items()}
    assert widths == {"badger": 4, "finch": 2, "heron": 2, "lynx": 0, "marten": 0, "otter": 0}
    assert "coordinator" in drawn["badger"]["label"]["formatter"]
    assert "votes" in drawn["finch"]["label"]["formatter"]


def test_somebody_who_died_is_an_outline_with_no_arrows() -> None:
    swarm = FakeSwarm().play(2)
    from streamlit_app.connection.memory import Memory

    memory = Memory()
    look(swarm, memory)
    swarm.peer("finch").die()
    option = swarm_graph(look(swarm, memory).peers, tree_of(FakeSwarm().play(1)), INK)
    assert nodes(option)["finch"]["itemStyle"]["color"] == "transparent"
    assert "died" in nodes(option)["finch"]["label"]["formatter"]
    assert not [link for link in option["series"][0]["links"] if identity("finch") in (link["source"], link["target"])]


def test_names_cannot_write_into_labels_or_tooltips() -> None:
    hostile = SeenPeer(PeerEntry("e" * 32, "<img src=x>{sub|", "10.0.0.9:7700", labels={"site": "<b>"}), 0)
    node = nodes(swarm_graph([hostile], Tree(), INK))["<img src=x>{sub|"]
    assert "<img" not in node["tooltip"]["formatter"]
    assert "<b>&lt;" in node["tooltip"]["formatter"]
    assert "{sub|" not in node["label"]["formatter"]


def test_sixty_places_are_apart_and_all_places_are_inside_the_frame() -> None:
    found = [place_at(place) for place in range(192)]
    assert len({(round(x, 6), round(y, 6)) for x, y in found}) == 192
    assert all(x * x + y * y < 1.001 for x, y in found)
    first = found[:42]
    nearest = min((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 for at, a in enumerate(first) for b in first[:at]) ** 0.5
    assert nearest > 0.15


def test_sites_are_rings_of_their_own() -> None:
    picture = look(FakeSwarm(sites=True).play(1))
    where = points(picture.peers)
    option = swarm_graph(picture.peers, Tree(), INK)
    assert [label["name"] for label in option["series"][1]["data"]] == ["bergen", "oslo"]
    oslo = [where[identity(name)] for name in ("finch", "lynx", "otter")]
    bergen = [where[identity(name)] for name in ("badger", "heron", "marten")]
    assert min(x for x, _ in oslo) > max(x for x, _ in bergen) or max(x for x, _ in oslo) < min(x for x, _ in bergen)


def test_by_tier_a_parent_is_above_its_children_and_everyone_has_a_point() -> None:
    swarm = FakeSwarm().play(1)
    tree = tree_of(swarm)
    where = tier_points(tree, {peer.id: at for at, peer in enumerate(swarm.peers)})
    assert set(where) == {peer.id for peer in swarm.peers}
    assert all(where[parent][1] > where[child][1] for child, parent in tree.parent.items())
    assert len(set(where.values())) == len(where)


def test_depths_of_a_tree_with_a_ring_or_a_gap_end() -> None:
    assert depths(Tree(0, "a", {"b": "a", "c": "b", "x": "y", "y": "x", "z": "nobody"})) == {"a": 0, "b": 1, "c": 2}
    assert depths(Tree()) == {}


def test_whoever_is_not_in_the_tree_stands_below_it() -> None:
    swarm = FakeSwarm().play(1)
    tree = tree_of(swarm)
    without = Tree(0, tree.root, {child: parent for child, parent in tree.parent.items() if child != identity("otter")})
    drawn = nodes(swarm_graph(look(swarm).peers, without, INK, by_tier=True))
    assert drawn["otter"]["value"][1] == min(node["value"][1] for node in drawn.values())


# ---- figures and sentences


def test_key_figures_are_those_of_the_last_committed_round(picture: Picture) -> None:
    shown = {figure.label: figure for figure in key_figures(picture)}
    assert list(shown) == ["Round", "Accuracy", "Loss", "Peers", "Last round", "Sent"]
    assert shown["Round"].value == "4 of 10"
    assert shown["Accuracy"].value == percent(picture.rounds[-1].accuracy)
    assert shown["Accuracy"].change.startswith("+")
    assert shown["Loss"].change.startswith("-")
    assert shown["Peers"].value == "6"
    assert shown["Last round"].value == "1.31 s"
    assert shown["Sent"].value == "31.2 MB"


def test_before_anything_is_known_there_are_the_same_figures_with_dashes() -> None:
    assert [(figure.label, figure.value) for figure in key_figures(Picture())][:3] == [("Round", "–"), ("Accuracy", "–"), ("Loss", "–")]
    assert sentence(Picture()) == ""


def test_the_sentence_says_what_the_swarm_does_or_waits_for() -> None:
    swarm = FakeSwarm(rounds=2)
    assert sentence(look(swarm)) == "Waiting for 6 peers to be here (now 3), and a committee among them."
    said: list[str] = []
    for _ in range(6):
        swarm.step()
        said.append(sentence(look(swarm)))
    assert said[0] == "Round 1: 6 peers train on their own data."
    assert said[1] == "Round 1: 6 peers add up their updates."
    assert said[2] == "Round 1 is committed; the next one opens."
    assert said[5] == "The run is finished after 2 rounds."


def test_ids_in_a_sentence_become_names() -> None:
    swarm = FakeSwarm().play(1)
    picture = look(swarm)
    assert picture.status is not None
    status = msgspec.structs.replace(picture.status, waiting=f"round 2's update from {identity('lynx')}")
    assert sentence(Picture(status=status, peers=picture.peers)) == "Waiting for round 2's update from lynx."


def test_numbers_read_as_people_say_them() -> None:
    assert [byte_count(n) for n in (0, 999, 1_000, 1_234_567, 45_600_000_000)] == ["0 B", "999 B", "1.0 kB", "1.2 MB", "45.6 GB"]
    assert [seconds(s) for s in (None, 0.004, 0.5, 12.34, 300.0)] == ["–", "4 ms", "0.50 s", "12.3 s", "5 min"]
    assert [span(s) for s in (5, 300, 7_500, 300_000)] == ["5 s", "5 min", "2 h 5 min", "3 d"]


# ---- tables and curves


def test_the_table_of_peers_has_what_they_tell_of_themselves(picture: Picture) -> None:
    columns = peer_table(picture, picture.peers)
    assert columns["Peer"] == list(NAMES)
    assert columns["Role"][:3] == ["coordinator", "voter", "voter"]
    assert columns["Samples"] == [190, 191, 192, 193, 194, 195]
    assert columns["Sent"] == [5.2] * 6


def test_a_peer_that_does_not_tell_has_gaps_and_no_zeros(picture: Picture) -> None:
    silent = peer_table(Picture(status=picture.status, peers=picture.peers), picture.peers)
    assert silent["Loss"] == silent["Sent"] == silent["Samples/s"] == [None] * 6


def test_history_says_which_training_was_counted(picture: Picture) -> None:
    local = picture.locals[identity("lynx")]
    table = history_table(local, {1: True, 2: False})
    assert table["Round"] == [4, 3, 2, 1]
    assert table["Counted"] == ["–", "–", "no", "yes"]


def test_the_newest_round_is_first_with_its_contributors_by_name(picture: Picture) -> None:
    table = round_table(picture.rounds, picture.names)
    assert table["Round"] == [4, 3, 2, 1]
    assert table["Contributors"][0] == list(NAMES)
    assert table["Updates"] == [6, 6, 6, 6]


def test_curves_have_the_swarm_bold_and_each_peer_thin(picture: Picture) -> None:
    option = loss_curves(picture.rounds, picture.locals, picture.names, {}, 10, INK)
    widths = {line["name"]: line["lineStyle"]["width"] for line in option["series"]}
    assert set(widths) == {*NAMES, "swarm"}
    assert min(widths["swarm"] / widths[name] for name in NAMES) > 2
    assert [point[0] for point in option["series"][0]["data"]] == [1, 2, 3, 4]
    [accuracy] = accuracy_curve(picture.rounds, 10, INK)["series"]
    assert [point[0] for point in accuracy["data"]] == [1, 2, 3, 4]
    assert 0 <= accuracy["data"][0][1] <= 100


def test_a_round_that_was_begun_again_is_one_point() -> None:
    picture = look(FakeSwarm().play(2))
    local = picture.locals[identity("otter")]
    twice = msgspec.structs.replace(local, trained=(*local.trained, msgspec.structs.replace(local.trained[-1], loss=0.5)))
    [line, _] = loss_curves((), {twice.peer: twice}, picture.names, {}, 10, INK)["series"]
    assert line["data"][-1] == [2, 0.5]
    assert len(line["data"]) == 2


def test_the_map_has_each_class_of_each_peer_in_the_order_of_the_app(picture: Picture) -> None:
    option = class_map(picture.locals, picture.names, INK, dark=True)
    assert option["xAxis"]["data"] == [str(digit) for digit in range(10)]
    assert option["yAxis"]["data"] == sorted(NAMES, reverse=True)
    cells = {(cell[0], cell[1]): cell[2] for cell in option["series"][0]["data"]}
    assert len(cells) == 60
    row = option["yAxis"]["data"].index("heron")
    assert [cells[column, row] for column in range(10)] == list(picture.locals[identity("heron")].classes.values())


# ---- time


def test_spans_follow_each_other_at_every_peer(picture: Picture) -> None:
    spans = phase_spans(picture.events, picture.heard)
    for name in NAMES:
        own = [span for span in spans if span.peer == identity(name)]
        assert [span.phase for span in own[:4]] == ["training", "waiting", "reducing", "holding"]
        assert [span.round for span in own] == [number for number in range(1, 5) for _ in range(4)]
        assert all(before.end <= after.begin for before, after in pairwise(own))


def test_a_peers_own_words_move_it_forward_within_the_round_and_never_back() -> None:
    swarm = FakeSwarm().play(2)
    swarm.step()
    swarm.peer("lynx").say(events.TrainingEnded(3, 190, 0.5, 0.8, finite=True))
    phases = {seen.called: seen.phase for seen in with_own_words(look(swarm)).peers}
    assert phases == dict.fromkeys(NAMES, "training") | {"lynx": "waiting"}
    old = look(swarm)
    swarm.step()
    assert old.status is not None
    late = replace(look(swarm), events=old.events)
    assert {seen.phase for seen in with_own_words(late).peers} == {"reducing"}


def test_what_goes_on_ends_where_it_was_heard_last_and_at_a_dead_peer_when_others_saw_it_die() -> None:
    def at(time: float, peer: str, event: events.ObservedEvent) -> Stamped:
        return Stamped(int(time), time, time, peer, event)

    told = [
        at(10.0, "a", events.TrainingStarted(1, 1)),
        at(10.0, "b", events.TrainingStarted(1, 1)),
        at(12.0, "a", events.PeerLeft("b", "refused")),
    ]
    ends = {span.peer: span.end for span in phase_spans(told, {"a": 30.0, "b": 9.0})}
    assert ends == {"a": 30.0, "b": 12.0}


def test_the_timeline_has_a_row_a_peer_and_the_round_that_was_asked_for(picture: Picture) -> None:
    spans = of_rounds(phase_spans(picture.events, picture.heard), 3, 3)
    option = timeline(spans, picture.names, INK)
    assert option["yAxis"]["data"] == sorted(NAMES, reverse=True)
    bars = [bar for line in option["series"] for bar in line["data"]]
    assert len(bars) == 24
    assert all("round 3" in bar["name"] for bar in bars)
    assert min(bar["coords"][0][0] for bar in bars) == 0


# ---- events


def test_every_kind_of_event_belongs_to_a_filter() -> None:
    tags = {str(kind.__struct_config__.tag) for kind in events.ObservedEvent.__args__}
    assert {tag for kinds in KINDS.values() for tag in kinds} == tags


def test_filters_keep_what_was_asked_for_newest_first(picture: Picture) -> None:
    rows = event_rows(picture.events, picture.names, ["training"], [identity("otter")], 5)
    assert set(rows["Peer"]) == {"otter"}
    assert set(rows["Kind"]) == {"training_started", "training_ended"}
    assert len(rows["Time"]) == 5
    assert rows["No."] == sorted(rows["No."], key=lambda number: -int(str(number)))
    assert len(event_rows(picture.events, picture.names)["Time"]) == min(500, len(picture.events))


def test_an_event_is_told_in_the_words_of_the_command_line(picture: Picture) -> None:
    rows = event_rows(picture.events, picture.names, ["peers"])
    assert any("otter joined from 10.0.0.9:7700" in str(what) for what in rows["What"])
    assert kind_of(picture.events[0]) in {"run_adopted", "peer_joined"}


# ---- all of them


def test_every_chart_is_plain_json_in_light_and_dark(picture: Picture) -> None:
    """Streamlit sends options as JSON; NaN or an object of ours would only be seen in the browser."""
    local = picture.locals[identity("otter")]
    guess = Prediction("3", 3, 0.9, top=(Guess("3", 3, 0.9), Guess("5", 5, 0.1)))
    for inks in (ink(dark=False), ink(dark=True)):
        for option in (
            swarm_graph(picture.peers, tree_of(FakeSwarm().play(1)), inks),
            swarm_graph([], Tree(), inks),
            loss_curves(picture.rounds, picture.locals, picture.names, {}, 10, inks),
            loss_curves((), {}, {}, {}, 0, inks),
            accuracy_curve((), 0, inks),
            class_map({}, {}, inks, dark=False),
            timeline(phase_spans(picture.events, picture.heard), picture.names, inks),
            timeline([], {}, inks),
            classes_held(local, "#000", inks),
            speed(local, "#000", inks),
            top_classes(guess, inks),
        ):
            json.dumps(option, allow_nan=False)


def test_the_likeliest_class_is_the_top_bar_and_the_only_bright_one() -> None:
    guess = Prediction("cat", 3, 0.7, top=(Guess("cat", 3, 0.7), Guess("dog", 5, 0.2), Guess("ship", 8, 0.1)))
    option = top_classes(guess, INK)
    assert option["yAxis"]["data"] == ["ship", "dog", "cat"]
    bars = option["series"][0]["data"]
    assert [bar["value"] for bar in bars] == [10.0, 20.0, 70.0]
    assert bars[2]["itemStyle"]["opacity"] == 1
    assert all(bar["itemStyle"]["opacity"] < 1 for bar in bars[:2])


def test_a_phase_of_a_newer_peer_keeps_its_name() -> None:
    assert phase_of("dreaming").called == "dreaming"

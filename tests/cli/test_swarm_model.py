"""What a watcher makes of a swarm's events, and what a demo comes to."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from pyfl import events
from pyfl.cli.demo import peer_names
from pyfl.cli.demo_summary import exit_code, summary
from pyfl.cli.live_view import draw, round_table, sparkline
from pyfl.cli.swarm_model import SwarmModel
from pyfl.narrator import Narrator
from tests.cli.stories import IDS, NAMES, commit, learned, tell


def test_a_commit_is_new_once_however_many_peers_tell_of_it() -> None:
    model = SwarmModel(NAMES, 2, 0.0)
    told = commit(1, "d" * 64)
    assert [tell(model, index, told) for index in range(3)] == [told, None, None]


def test_a_peers_line_follows_its_round() -> None:
    model = SwarmModel(NAMES, 2, 0.0)
    line = model.lines[1]
    seen: list[str] = [line.phase]
    for event in (
        events.RunAdopted("run", "digits", 2, 99, founded=False),
        events.TrainingStarted(1, 1),
        events.TrainingEnded(1, 240, 0.5, 0.1, finite=True),
        events.ReduceStarted(1, 1, IDS, ()),
        events.ResultHeld(1, 1, "d" * 64),
        events.ModelInstalled(1, "d" * 64, "reduced"),
        events.RunFinished(2),
    ):
        tell(model, 1, event)
        seen.append(line.phase)
    assert seen == ["starting", "building", "training", "trained", "reducing", "holding", "waiting", "done"]
    assert (line.round, line.samples, line.digest) == (1, 240, "d" * 64)


def test_the_summary_has_every_trained_round_and_not_round_0() -> None:
    made = summary(learned(2), wall_s=9.0)
    assert made == {
        "event": "summary", "peers": 3, "digests_agree": True, "first_commit_s": 2.0, "wall_s": 9.0, "failures": {},
        "rounds": [
            {
                "round": number, "epoch": 1, "contributors": list(NAMES), "digest": f"{number + 1:064x}", "accuracy": number / 10,
                "loss": 0.25, "train_s": 0.5, "reduce_s": 0.125,
            }
            for number in (1, 2)
        ],
    }  # fmt: skip
    assert exit_code(learned(2)) == 0


def test_one_peer_with_another_digest_in_one_round_is_a_disagreement() -> None:
    model = learned(3)
    tell(model, 1, events.ModelInstalled(2, "f" * 64, "reduced"))
    assert not model.digests_agree()
    assert model.disagreements() == ["round 2: heron holds ffffffff, committed is 00000000"]
    assert exit_code(model) == 1


def test_a_commit_whose_model_nobody_was_seen_to_hold_is_not_agreement() -> None:
    model = learned(1, of=2)
    tell(model, 0, commit(2, "d" * 64))
    assert model.complete()
    assert not model.digests_agree()


def test_missing_rounds_are_a_failure_even_if_all_agree() -> None:
    model = learned(2, of=3)
    assert model.digests_agree()
    assert exit_code(model) == 1
    assert exit_code(SwarmModel(NAMES, 3, 0.0)) == 1


def test_a_failed_peers_reason_is_in_the_summary_and_one_that_left_is_no_failure() -> None:
    model = learned(1)
    model.end(0, 5, "no such app")
    model.end(1, 130, "ended by SIGINT")
    model.end(2, 0, "finished")
    assert summary(model, 1.0)["failures"] == {"otter": "no such app"}
    assert [line.phase for line in model.lines] == ["failed", "left", "done"]


def test_every_kind_of_event_has_a_sentence() -> None:
    narrator = Narrator()
    told = [
        events.RunAdopted("run", "digits", 2, 99, founded=True), events.PeerJoined(IDS[0], "otter", "127.0.0.1:1"),
        events.PeerLeft(IDS[0], "refused"), events.PeerRemoved(IDS[0], 1, "silent"), events.CoordinatorChanged(IDS[0], me=False),
        events.CoordinatorChanged("", me=False), events.RoundOpened(1, 2, IDS), events.TrainingStarted(1, 1),
        events.TrainingEnded(1, 3, None, 0.1, finite=True), events.TrainingEnded(1, 3, None, 0.1, finite=False),
        events.ReduceStarted(1, 1, IDS, ()), events.LinkAccused(1, 1, IDS[0], "timeout"), events.ResultHeld(1, 1, "d" * 64),
        events.LinkRouted(IDS[0], IDS[1]), events.LinkRouted(IDS[0], ""),
        commit(1, "d" * 64), commit(1, "d" * 64, void=True), events.ModelInstalled(1, "d" * 64, "pulled"),
        events.PullStarted(1, IDS), events.Waiting("for you"), events.FaultSeen("message", "bad"),
        events.ResourcesUsed(1, 2**20, 2**20, 2**20, 0.5, "cubic"), events.RunFinished(2),
    ]  # fmt: skip
    sentences = [narrator.sentence(event) for event in told]
    assert {type(event) for event in told} == set(events.ObservedEvent.__args__)
    assert len(set(sentences)) == len(told)
    assert narrator.sentence(events.PeerRemoved(IDS[0], 1, "silent")) == "round 1 goes on without otter: silent"


@pytest.mark.parametrize("peers", [2, 6, 40])
def test_the_live_view_fits_80_columns_and_24_lines(peers: int) -> None:
    model = SwarmModel(peer_names(peers), 100, 0.0)
    model.end(0, 5, "a reason that is far too long for a line of eighty columns " * 3)
    model.last = "something that happened " * 8
    for number in range(60):
        tell(model, 1, commit(number, "d" * 64, number / 100))
        tell(model, 1, events.ModelInstalled(number, "d" * 64, "reduced"))
    console = Console(file=StringIO(), width=80, force_terminal=True, color_system=None)
    lines = console.render_lines(draw(model, "digits", 75.0), console.options)
    text = ["".join(segment.text for segment in line) for line in lines]
    assert len(text) <= 24
    assert all(len(line) <= 80 for line in text)
    assert "round 59/100" in text[2]
    assert "failed" in "".join(text)
    assert max(len(line) for line in console.render_lines(round_table(learned(3)), console.options)) <= 80


def test_a_sparkline_spans_from_the_lowest_to_the_highest() -> None:
    assert sparkline([0.1, 0.5, 0.9]) == "▁▅█"
    assert sparkline([0.3, 0.3]) == "██"
    assert sparkline([]) == ""


def test_no_two_peers_of_a_demo_have_the_same_name() -> None:
    assert len(set(peer_names(200))) == 200

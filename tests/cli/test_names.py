"""People read names, not ids: wherever a peer's own sentence names a peer that is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfl import events
from pyfl.cli.swarm_model import SwarmModel
from pyfl.narrator import Narrator, with_names
from pyfl.peer.status import Status
from pyfl.serving import serve
from tests.cli.command_line import pyfl
from tests.cli.stories import IDS, NAMES, tell
from tests.serving.fake_peer import ME, OTHER, FakePeer

KNOWN: dict[str, str] = dict(zip(IDS, NAMES, strict=True))


def test_known_ids_become_names_and_unknown_ones_stay_whole() -> None:
    stranger = "0" * 32
    text = f"round 3's segments from or to {IDS[1]}, {stranger}; {IDS[0]} coordinates"
    assert with_names(text, KNOWN) == f"round 3's segments from or to heron, {stranger}; otter coordinates"
    assert with_names(text, KNOWN | {IDS[0]: ""}).endswith(f"; {IDS[0]} coordinates"), "a peer without a name keeps its id"


def test_a_digest_that_contains_an_id_is_no_peer() -> None:
    for digest in (IDS[0] + "d" * 32, "d" * 32 + IDS[0], IDS[0] + "0"):
        assert with_names(f"result {digest}", KNOWN) == f"result {digest}"


@given(st.text(st.characters(exclude_characters="0123456789abcdef")))
def test_a_text_without_ids_is_left_as_it_is(text: str) -> None:
    assert with_names(text, KNOWN) == text


def test_every_sentence_that_repeats_a_peers_words_has_names() -> None:
    narrator = Narrator(KNOWN)
    for event in (
        events.Waiting(f"for {IDS[1]}"), events.FaultSeen("message", f"from {IDS[1]}"),
        events.LinkAccused(1, 1, IDS[0], f"no segment of {IDS[1]}"), events.PeerRemoved(IDS[0], 1, f"{IDS[1]} accuses it"),
    ):  # fmt: skip
        assert "heron" in narrator.sentence(event)
        assert IDS[1] not in narrator.sentence(event)
    model = SwarmModel(NAMES, 1, began=0.0)
    tell(model, 1, events.TrainingStarted(1, 1))
    for event in (events.Waiting(f"for {IDS[1]}"), events.FaultSeen("message", f"for {IDS[1]}")):
        tell(model, 0, event)
        assert model.lines[0].note == "for heron"


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[FakePeer]:
    class Waits(FakePeer):
        def status(self) -> Status:
            return msgspec.structs.replace(super().status(), waiting=f"a majority of the committee, which is {ME}, {OTHER}")

    peer = Waits()
    server = serve(peer, tmp_path / "pyfl-data" / "127.0.0.1-7700" / "http.sock")
    yield peer
    server.stop()


@pytest.mark.real
def test_status_and_events_of_a_running_peer_have_names_and_json_has_ids(tmp_path: Path, waiting: FakePeer) -> None:
    waiting.tell(events.PeerJoined("9" * 32, "newt", "127.0.0.1:7709"))
    waiting.tell(events.Waiting(f"for {OTHER}"))
    assert "waiting: a majority of the committee, which is otter, heron" in pyfl("status", cwd=tmp_path).stdout
    assert "waiting: for heron" in pyfl("events", "--after", "1", cwd=tmp_path).stdout
    assert OTHER in pyfl("status", "--json", cwd=tmp_path).stdout
    assert OTHER in pyfl("events", "--json", cwd=tmp_path).stdout

"""A journal's numbers mean one event each, over all lives of a peer; damage costs the damaged line and no more."""

from __future__ import annotations

import resource
from pathlib import Path

import msgspec
import pytest

from pyfl.events import Stamped, Waiting
from pyfl.peer import journal as journals
from pyfl.peer.journal import Journal

ME = "a" * 32


def written(path: Path) -> list[int]:
    return [msgspec.json.decode(line, type=Stamped).id for line in path.read_bytes().splitlines()]


def live(path: Path, *whats: str) -> list[Stamped]:
    """One life: what was recorded."""
    journal = Journal(path, ME)
    told = [journal.record(Waiting(what)) for what in whats]
    journal.close()
    return told


def test_the_next_life_goes_on_with_the_next_number_and_remembers_the_last(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    before = live(path, "a", "b")
    journal = Journal(path, ME)
    now = journal.record(Waiting("c"))
    assert now.id == 3
    assert journal.since(0) == [*before, now]
    assert journal.since(1) == [before[1], now]
    assert journal.since(3) == []
    assert journal.since(99) == []
    journal.close()
    assert written(path) == [1, 2, 3]


@pytest.mark.parametrize("torn", [b'{"id":3,"ti', b"\xff\xfe", b"{}"])
def test_a_line_that_a_crash_cut_off_is_dropped_and_the_next_is_whole(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "events.jsonl"
    live(path, "a", "b")
    with path.open("ab") as file:
        file.write(torn)
    assert live(path, "c")[0].id == 3
    assert written(path) == [1, 2, 3]


def test_a_line_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    live(path, "a", "b")
    with path.open("ab") as file:
        file.write(b"no json\n" + b'{"id": 3, "data": {"event": "of another version"}}\n')
    assert live(path, "c")[0].id == 3


def test_a_file_of_lives_that_each_began_at_one_goes_on_after_the_last(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [msgspec.json.encode(Stamped(number, 0.0, 0.0, ME, Waiting("x"))) + b"\n" for number in (1, 2, 3, 4, 1, 2)]
    path.write_bytes(b"".join(lines))
    journal = Journal(path, ME)
    assert [event.id for event in journal.since(0)] == [1, 2]
    assert journal.record(Waiting("y")).id == 3
    journal.close()


def test_numbers_go_on_when_the_file_was_rotated_a_moment_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    monkeypatch.setattr(journals, "ROTATE_BYTES", 200)
    live(path, *"abcdefgh")
    path.write_bytes(b"")
    last = written(tmp_path / "events.jsonl.1")[-1]
    assert live(path, "i")[0].id == last + 1


def test_of_a_long_life_only_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    live(path, *(str(number) for number in range(100)))
    monkeypatch.setattr(journals, "RECALLED_BYTES", 1000)
    journal = Journal(path, ME)
    assert [event.id for event in journal.since(0)][-1] == 100
    assert len(journal.since(0)) < 20
    assert journal.record(Waiting("y")).id == 101
    journal.close()


def test_who_watches_is_called_with_each_event_until_it_ends_that() -> None:
    journal, rung = Journal(None, ME), [0]

    def ring() -> None:
        rung[0] += 1

    end = journal.watch(ring)
    journal.record(Waiting("a"))
    journal.record(Waiting("b"))
    end()
    journal.record(Waiting("c"))
    assert rung == [2]


def test_a_full_disk_keeps_events_out_of_the_file_and_nothing_else(tmp_path: Path) -> None:
    path, warned, followed = tmp_path / "events.jsonl", list[str](), list[int]()
    journal = Journal(path, ME, lambda event: followed.append(event.id), warned.append)
    journal.record(Waiting("a"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))
    try:
        journal.record(Waiting("b"))
        journal.record(Waiting("c"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    journal.record(Waiting("d"))
    journal.close()
    assert written(path) == [1, 4]
    assert [event.id for event in journal.since(0)] == followed == [1, 2, 3, 4]
    assert len(warned) == 1
    assert "cannot be written" in warned[0]

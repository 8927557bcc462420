"""What peers wrote down: every `events.jsonl` of every life, also of data directories that were wiped."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from pyfl.chaos.chronicle import Said
from pyfl.chaos.process import ChaosPeer
from pyfl.events import Stamped

__all__ = ["all_said"]

JOURNALS = ("events.jsonl.1", "events.jsonl")
_decoder = msgspec.json.Decoder(Stamped)


def all_said(peers: Iterable[ChaosPeer], heard: Iterable[Said]) -> list[Said]:
    """Journals and what was heard on stdout, each event once, by the time that its peer gave it.

    Both are needed: a full disk keeps events out of a journal, a kill keeps them out of a pipe.
    """
    found: dict[tuple[str, float, int], Said] = {}
    for peer in peers:
        for directory in (*peer.earlier, peer.data_dir):
            for event in _journal(directory):
                found[event.peer, event.monotonic, event.id] = Said(peer.index, event)
    for said in heard:
        found.setdefault((said.event.peer, said.event.monotonic, said.event.id), said)
    return sorted(found.values(), key=lambda said: (said.event.monotonic, said.event.id))


def _journal(directory: Path) -> Iterable[Stamped]:
    for name in JOURNALS:
        path = directory / name
        if not path.exists():
            continue
        for line in path.read_bytes().split(b"\n"):
            try:
                yield _decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # a line that a kill or a full disk tore; what it said was heard, or nobody knew it

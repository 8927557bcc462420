"""What a peer remembers of the records that it saw."""

from __future__ import annotations

import msgspec

from pyfl.overlay.protocol import Record
from pyfl.rounds.records import ROUND, Member, RoundRecord
from pyfl.rounds.view import View


def see(view: View, version: int, record: RoundRecord) -> None:
    assert view.accept(Record(key=ROUND, version=version, index=version, value=msgspec.msgpack.encode(record)))


def test_who_sent_to_whom_is_known_between_reduces_too() -> None:
    view = View("a")
    see(view, 1, RoundRecord(1, 1, "train"))
    assert view.reduced is None
    reduce = RoundRecord(1, 1, "reduce", members=(Member("a", 0, 10), Member("b", 1, 10)), slots=2)
    see(view, 2, reduce)
    see(view, 3, RoundRecord(2, 1, "train"))
    assert view.reduced == reduce
    assert view.round is not None
    assert view.round.number == 2

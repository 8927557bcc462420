"""What a neighbouring version adds to records and messages does not keep this one from reading them: docs/decisions/versions.md."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from msgspec import inspect

from pyfl.rounds import messages
from pyfl.rounds.history import HistoryRecord
from pyfl.rounds.messages import Held, Message, Ready, Report
from pyfl.rounds.records import ControlRecord, RoundRecord, RunRecord

SPOKEN = [RunRecord, RoundRecord, HistoryRecord, ControlRecord, *get_args(Message)]


def structs_of(kind: Any) -> set[type[msgspec.Struct]]:
    """Every struct that a type is made of."""
    found: set[type[msgspec.Struct]] = set()
    todo: list[Any] = [inspect.type_info(kind)]
    while todo:
        info = todo.pop()
        if isinstance(info, inspect.StructType):
            if info.cls in found:
                continue
            found.add(info.cls)
            todo += [field.type for field in info.fields]
        for name in ("types", "item_types"):
            todo += getattr(info, name, ())
        todo += [getattr(info, name) for name in ("item_type", "key_type", "value_type") if hasattr(info, name)]
    return found


@pytest.mark.parametrize("kind", SPOKEN, ids=lambda kind: kind.__name__)
def test_nothing_that_is_spoken_refuses_what_it_does_not_know(kind: type[msgspec.Struct]) -> None:
    for struct in structs_of(kind):
        config = struct.__struct_config__
        assert not config.forbid_unknown_fields, f"{struct.__name__} would refuse a neighbour's new field"
        assert not config.array_like, f"{struct.__name__} could only grow at its end"


def test_a_neighbours_new_fields_are_passed_over_at_every_depth() -> None:
    report = Report(1, 4, 5, 1, 0, Ready(5, 32, (1, 2), (3, 4), finite=True, train_s=0.5), Held(5, 1, "m", "s"))
    told = msgspec.to_builtins(report, builtin_types=(bytes,))
    for part in (told, told["ready"], told["held"]):
        part["added_later"] = [1, {"by": "a neighbour"}]
    assert messages.decode(msgspec.msgpack.encode(told)) == report


def test_a_record_without_what_was_added_since_is_read() -> None:
    oldest = {"number": 3, "epoch": 1, "phase": "committed", "added_later": 1}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(oldest), type=RoundRecord) == RoundRecord(3, 1, "committed")

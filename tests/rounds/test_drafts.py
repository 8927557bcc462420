"""Laws of the records: epochs and attempts only rise, slots and shares stay within an attempt, and they are read as written."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfl.aggregation import fedavg
from pyfl.aggregation.fixedpoint import ZERO, ratio_from_bits
from pyfl.errors import MessageError
from pyfl.overlay.protocol import Record
from pyfl.rounds import drafts
from pyfl.rounds.history import HISTORY_ROUNDS, Committed, HistoryRecord
from pyfl.rounds.messages import Held, Ready, Score
from pyfl.rounds.records import ROUND, Member, RoundRecord, RunRecord, pack_exponents
from pyfl.rounds.view import View
from pyfl.tiers import rotated
from pyfl.training.layout import Layout, TensorSpec

PEERS = [f"p{i}" for i in range(8)]
some = st.sets(st.sampled_from(PEERS), min_size=1)
exponents = st.one_of(st.just(ZERO), st.integers(-120, 120))
RUN = RunRecord("run", "app", Layout((TensorSpec("a", (2,)), TensorSpec("b", (3,)))), "m" * 64, "s" * 64, fedavg(), rotated(2), rounds=9)


@st.composite
def ready(draw: st.DrawFn) -> Ready:
    both = st.tuples(exponents, exponents)
    loss = draw(st.one_of(st.none(), st.floats()))
    return Ready(4, draw(st.integers(1, 2**40)), draw(both), draw(both), True, 1.0, loss)


@st.composite
def reducing(draw: st.DrawFn) -> RoundRecord:
    opened = drafts.open_round(
        RUN, RoundRecord(3, 2, "committed", model="a" * 64, state="b" * 64), draw(some), draw(st.sets(st.sampled_from(PEERS))), 10.0
    )
    able = draw(st.dictionaries(st.sampled_from(PEERS), ready(), min_size=1))
    receivers = draw(st.sets(st.sampled_from(PEERS))) - able.keys()
    sites = draw(st.dictionaries(st.sampled_from(PEERS), st.sampled_from(["", "x", "y"])))
    return drafts.close_training(opened, able, receivers, sites, 2.0)


@given(reducing(), st.data())
def test_epochs_and_attempts_only_rise_through_any_story(record: RoundRecord, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 6))):
        left = [m.peer for m in record.members if m.samples]
        step = data.draw(st.sampled_from(["restart", "share", "reopen", "close"]))
        if step == "restart" and record.phase == "reduce":
            dead = data.draw(st.sets(st.sampled_from([m.peer for m in record.members])))
            if not set(left) - dead:
                continue
            after = drafts.restart(record, dead, data.draw(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=2)))
            assert after.epoch == record.epoch + 1
            assert {m.peer: m.slot for m in after.members} == {m.peer: m.slot for m in record.members if m.peer not in dead}
            assert (after.total_samples, after.exponents, after.caps, after.slots) == (
                record.total_samples, record.exponents, record.caps, record.slots
            ), "what each contributor multiplies by stays within an attempt"  # fmt: skip
            counted = sum(m.samples for m in after.members)
            assert ratio_from_bits(after.ratio_bits) == pytest.approx(record.total_samples / counted, rel=2**-23)
        elif step == "share" and record.phase == "reduce":
            after = drafts.share_result(record, data.draw(some), PEERS[:2], Held(4, record.epoch, "c" * 64, "d" * 64))
            assert (after.epoch, after.members) == (record.epoch, record.members)
        elif step == "reopen":
            after = drafts.reopen(RUN, record, data.draw(some), 10.0)
            assert (after.epoch, after.attempt, after.phase) == (record.epoch + 1, record.attempt + 1, "train")
            assert not after.members
        elif step == "close" and record.phase == "train":
            after = drafts.close_training(record, data.draw(st.dictionaries(st.sampled_from(PEERS), ready(), min_size=1)), set(), {}, 1.0)
            assert after.epoch == record.epoch
        else:
            continue
        assert (after.number, after.base_model, after.base_state) == (4, "a" * 64, "b" * 64)
        record = after
    for committed in (drafts.void(record), drafts.commit(record, Held(4, record.epoch, "c" * 64, "d" * 64), PEERS, [], 1.0)):
        assert (committed.number, committed.epoch, committed.phase) == (4, record.epoch, "committed")
        assert committed.contributors == (() if committed.void else tuple(m.peer for m in record.members if m.samples))


@given(reducing())
def test_slots_are_one_a_member_and_the_denominator_is_the_contributors_samples(record: RoundRecord) -> None:
    assert sorted(m.slot for m in record.members) == list(range(record.slots))
    assert record.total_samples == sum(m.samples for m in record.members)
    assert ratio_from_bits(record.ratio_bits) == 1.0


@given(reducing())
def test_what_is_read_is_what_was_written(record: RoundRecord) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=RoundRecord) == record


@given(st.lists(st.one_of(st.just(ZERO), st.integers(-127, 127)), max_size=20))
def test_exponents_fit_a_byte_each(values: list[int]) -> None:
    packed = pack_exponents(tuple(values))
    assert len(packed) == len(values)
    assert Member("p", 0, 1, packed).announced() == tuple(values)


@given(st.integers(1, 60))
def test_the_history_forgets_the_oldest(rounds: int) -> None:
    history = HistoryRecord()
    for number in range(rounds):
        history = history.after(Committed(number, 1, "m", "s", ()))
    assert [c.round for c in history.rounds] == list(range(rounds))[-HISTORY_ROUNDS:]


@given(st.lists(st.builds(Score, st.just(4), st.just(1), st.integers(0, 100), st.floats(), st.one_of(st.none(), st.integers(0, 100)))))
def test_a_commit_has_a_finite_loss_or_none(scores: list[Score]) -> None:
    record = RoundRecord(4, 1, "reduce", loss=0.5)
    loss = drafts.commit(record, Held(4, 1, "c", "d"), [], scores, 1.0).loss
    assert loss is None or abs(loss) < float("inf")


@given(st.binary(max_size=80), st.sampled_from(["run", ROUND, "control", "history/swarm", "other"]))
def test_a_record_of_any_bytes_is_read_or_refused_by_name(value: bytes, key: str) -> None:
    view = View("me")
    try:
        view.accept(Record(key, 1, 1, value))
    except MessageError as error:
        assert key in str(error)  # noqa: PT017
    except msgspec.ValidationError as error:
        raise AssertionError(f"an unreadable record escaped as {error!r}") from error


@given(st.lists(st.integers(0, 6), max_size=12))
def test_a_view_takes_versions_forward_only(versions: list[int]) -> None:
    view, newest = View("me"), 0
    for version in versions:
        record = Record(ROUND, version, 1, msgspec.msgpack.encode(RoundRecord(version, 1, "train")))
        assert view.accept(record) == (version > newest)
        newest = max(newest, version)
        assert view.versions.get(ROUND, 0) == newest
        assert view.round is None or view.round.number == newest

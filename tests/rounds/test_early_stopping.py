"""The best round by the swarm's metric, and when the run has waited long enough: laws over any history of committed rounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfl.errors import ConfigError
from pyfl.rounds.early_stopping import Best, EarlyStopping, enough, follow, measured, parse
from pyfl.rounds.history import HISTORY_ROUNDS, Committed, HistoryRecord

metric = st.one_of(st.none(), st.floats(0, 1).map(lambda value: round(value, 2)), st.just(math.nan))
rules = st.builds(
    EarlyStopping, st.sampled_from(["accuracy", "loss"]), st.integers(1, 30), st.sampled_from([0.0, 0.01, 0.3]),
    st.sampled_from(["auto", "min", "max"]),
)  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> list[Committed]:
    facts = draw(st.lists(st.tuples(st.booleans(), metric, metric, st.booleans()), max_size=60))
    return [
        Committed(number, 1, f"m{number}", "s", (), void=void, accuracy=accuracy, loss=loss, scored=scored)
        for number, (void, accuracy, loss, scored) in enumerate(facts, start=1)
    ]


def fold(history: list[Committed], rule: EarlyStopping | None = None) -> Best | None:
    best = None
    for committed in history:
        best = follow(best, committed, rule)
    return best


def rounds(*accuracies: float | None) -> list[Committed]:
    return [Committed(number, 1, f"m{number}", "s", (), accuracy=value, scored=True) for number, value in enumerate(accuracies, start=1)]


@given(histories(), rules)
def test_the_record_remembers_the_best_however_many_rounds_it_has_forgotten(history: list[Committed], rule: EarlyStopping) -> None:
    record = HistoryRecord()
    for committed in history:
        record = record.after(committed, rule)
    assert len(record.rounds) <= HISTORY_ROUNDS
    assert record.best == fold(history, rule)


@given(histories(), rules)
def test_void_rounds_and_rounds_without_the_metric_change_nothing(history: list[Committed], rule: EarlyStopping) -> None:
    counted = [committed for committed in history if measured(committed, rule.monitor)]
    assert all(not committed.void for committed in counted)
    assert fold(counted, rule) == fold(history, rule)


@given(histories(), rules)
def test_no_round_that_was_measured_the_same_way_is_better_than_the_best_and_no_earlier_one_as_good(
    history: list[Committed], rule: EarlyStopping
) -> None:
    best = fold(history, rule)
    if best is None:
        assert not any(measured(committed, rule.monitor) for committed in history)
        return
    rises = {"auto": best.measure == "accuracy", "max": True, "min": False}[rule.mode]
    same = {c.round: found[1] for c in history if (found := measured(c, rule.monitor)) and found[0] == best.measure}
    assert same[best.round] == best.value == (max if rises else min)(same.values())
    assert best.round == min(number for number, value in same.items() if value == best.value)
    assert best.model == f"m{best.round}"


@given(histories(), rules)
def test_a_run_ends_only_when_patience_rounds_since_its_last_gain_were_measured(history: list[Committed], rule: EarlyStopping) -> None:
    best = fold(history, rule)
    why = enough(best, rule)
    assert bool(why) == (best is not None and best.since >= rule.patience)
    if best and why:
        assert best.measure in why
        assert f"of round {best.round}" in why
        found = [value for c in history if (value := measured(c, rule.monitor)) and value[0] == best.measure]
        tail = [value for _, value in found[-best.since :]]
        sign = 1 if {"auto": best.measure == "accuracy", "max": True, "min": False}[rule.mode] else -1
        assert all(sign * (value - best.reference) <= rule.min_delta for value in tail)


def test_patience_counts_from_the_last_gain_and_small_gains_are_the_best_but_no_gain() -> None:
    rule = EarlyStopping("accuracy", patience=2, min_delta=0.1)
    assert not enough(fold(rounds(0.5, 0.55), rule), rule)
    best = fold(rounds(0.5, 0.55, 0.52), rule)
    assert best is not None
    assert (best.round, best.value, best.reference, best.since) == (2, 0.55, 0.5, 2)
    assert enough(best, rule) == "accuracy has not improved by more than 0.1 for 2 rounds; the best is 0.55, of round 2"
    assert not enough(fold(rounds(0.5, 0.55, 0.7), rule), rule)


def test_loss_over_held_out_data_replaces_that_of_training_and_accuracy_both() -> None:
    trained = Committed(1, 1, "m1", "s", (), loss=0.1)
    held_out = Committed(2, 1, "m2", "s", (), loss=0.9, scored=True)
    accurate = Committed(3, 1, "m3", "s", (), loss=2.0, accuracy=0.2, scored=True)
    assert fold([trained]) == Best(1, 0.1, "training loss", "m1", 0.1)
    assert fold([trained, held_out, trained]) == Best(2, 0.9, "held-out loss", "m2", 0.9)
    assert fold([trained, held_out, accurate, held_out, trained]) == Best(3, 0.2, "accuracy", "m3", 0.2)


def test_without_a_rule_a_run_never_ends_early() -> None:
    assert not enough(fold(rounds(0.9, *[0.1] * 50)), None)


@given(rules)
def test_a_rule_is_read_from_what_it_prints(rule: EarlyStopping) -> None:
    assert parse(str(rule)) == rule


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("acuracy", "expected accuracy or loss"), ("accuracy:pateince=3", "Did you mean 'patience'"),
        ("loss:patience=0", "at least 1 round"), ("loss:patience=soon", "patience"),
        ("loss:min_delta=-1", "from 0"), ("loss:min_delta=nan", "from 0"), ("loss:mode=up", "mode"),
        ("loss:patience", "expected MONITOR"), ("", "expected accuracy or loss"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_name(text: str, what: str) -> None:
    with pytest.raises(ConfigError, match="early_stopping") as caught:
        parse(text)
    assert what in str(caught.value)

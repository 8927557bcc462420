"""What a run tells of its statistics, and the limbs that its peers add up for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfl.errors import DataError, RefusedBySwarm
from pyfl.preparation import Classes, Moments, Ring, Statistic, Vocabulary, from_wire, to_wire
from pyfl.preparation.plan import MOST_NUMBERS, Asked, Measured, asked, asked_of, check_same, give, numbers, results, summand
from pyfl.rounds.sums import Sums

STATISTICS: dict[str, Statistic] = {"words": Vocabulary(5), "pixels": Moments(2), "digits": Classes(10)}


class Asks:
    """A trainer, as far as statistics go."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def statistics(self) -> Measured:
        return self._measured


def with_data(seed: int) -> Asks:
    draw = np.random.default_rng(seed)
    pixels, labels = draw.uniform(-3, 3, (draw.integers(1, 20), 2)), draw.integers(0, 10, draw.integers(1, 20))
    data: dict[str, Any] = {"pixels": pixels, "digits": labels, "words": draw.choice(["a", "bc", "d"], 9).tolist()}
    return Asks({name: (statistic, data[name]) for name, statistic in STATISTICS.items()})


def test_a_run_tells_names_statistics_with_arguments_and_lengths_in_the_order_of_the_names() -> None:
    told = asked(STATISTICS)
    assert told[:2] == (Asked("digits", "Classes(at_most=10)", 10), Asked("pixels", "Moments(channels=2, fraction_bits=16)", 20))
    assert numbers(told) == sum(statistic.length for statistic in STATISTICS.values())
    assert asked(dict(reversed(STATISTICS.items()))) == told
    assert asked_of(object()) == ()


@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=6), st.permutations(range(6)))
def test_sums_of_limbs_in_any_order_finish_to_the_statistics_of_all(seeds: list[int], order: list[int]) -> None:
    trainers = [with_data(seed) for seed in seeds]
    total = np.zeros(4 * numbers(asked(STATISTICS)), np.int32)
    for place in (place for place in order if place < len(trainers)):
        assert Sums.add(total, summand(trainers[place]), 1) == 0
    found = results(STATISTICS, from_wire(total))
    for name, statistic in STATISTICS.items():
        together = sum((statistic.local(t.statistics()[name][1]) for t in trainers), np.zeros(statistic.length, np.int64))
        assert found[name] == statistic.finish(together)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=40), st.integers(1, 9))
def test_no_honest_partial_is_refused(values: list[int], peers: int) -> None:
    limbs = to_wire(np.array(values, np.int64))
    partial = np.multiply(limbs, peers, dtype=np.int32)
    total = np.zeros_like(limbs)
    assert Sums.add(total, partial, peers) == 0
    assert np.array_equal(total, partial)


@pytest.mark.parametrize(("limb", "peers"), [(65536, 1), (-1, 1), (3 * 65535 + 1, 3), (-(2**31), 1000)])
def test_a_limb_that_so_many_peers_cannot_have_is_refused_and_nothing_of_the_partial_added(limb: int, peers: int) -> None:
    total, partial = np.ones(8, np.int32), np.ones(8, np.int32)
    partial[5] = limb
    assert Sums.add(total, partial, peers) == 1
    assert (total == 1).all()


def test_a_receiver_adds_nothing_of_its_own() -> None:
    sums = Sums(50_000)
    assert len(sums.segments) > 1
    sums.own[:] = 7
    total = np.ones(sums.segments[1].size, np.int32)
    sums.fill(total, 1, contributes=False)
    assert not total.any()
    sums.fill(total, 1, contributes=True)
    assert (total == 7).all()


@dataclass(frozen=True)
class Odd:
    """A statistic with a defect."""

    length: int = 3
    gives: str = "int64"

    def local(self, data: object) -> Ring:
        return {"list": [1, 2, 3], "short": np.zeros(2, np.int64), "float": np.zeros(3), "int64": np.zeros(3, np.int64)}[self.gives]  # type: ignore[return-value]

    def finish(self, total: Ring) -> object:
        raise DataError(f"{len(total)} numbers say nothing")


class Unnamed(Odd):
    """Is told by its address."""

    __repr__ = object.__repr__


@pytest.mark.parametrize(
    ("statistic", "what"),
    [
        (Unnamed(), "Give it a __repr__"), (Classes(0), "a vector of 0 numbers; expected at least one"), (Odd(-4), "-4 numbers"),
        (Classes(MOST_NUMBERS + 1), f"are {MOST_NUMBERS + 1} numbers together; expected at most {MOST_NUMBERS}"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_said_before_there_is_a_run(statistic: Statistic, what: str) -> None:
    with pytest.raises(DataError, match=what):
        asked({"odd": statistic})


@pytest.mark.parametrize(("gives", "what"), [("list", "list"), ("short", r"int64\[2\]"), ("float", r"float64\[3\]")])
def test_a_statistic_that_gives_something_else_than_it_says_is_named(gives: str, what: str) -> None:
    with pytest.raises(DataError, match=f"Statistic 'odd' gave .*{what}.* for this peer's data; expected"):
        summand(Asks({"odd": (Odd(gives=gives), None)}))


def test_errors_say_of_which_statistic_and_of_whose_data() -> None:
    with pytest.raises(DataError, match=r"Statistic 'digits' of this peer's data: Label 1 .* is 10"):
        summand(Asks({"digits": (Classes(10), np.array([3, 10]))}))
    with pytest.raises(DataError, match="Statistic 'odd' of the whole swarm: 3 numbers say nothing"):
        results({"odd": Odd()}, np.zeros(3, np.int64))


def test_who_asks_for_something_else_is_told_what() -> None:
    ours = asked({"pixels": Moments(1), "digits": Classes(10)})
    check_same(ours, ours)
    with pytest.raises(RefusedBySwarm) as refused:
        check_same(ours, asked({"pixels": Moments(3), "words": Vocabulary(5)}))
    said = str(refused.value)
    assert "digits: Classes(at_most=10) of 10 numbers here, none there" in said
    assert (
        "pixels: Moments(channels=1, fraction_bits=16) of 12 numbers here, Moments(channels=3, fraction_bits=16) of 28 numbers there"
        in said
    )
    assert "words: none here" in said
    with pytest.raises(RefusedBySwarm, match="digits"):
        check_same((), ours)


def test_who_asks_must_take_the_results() -> None:
    with pytest.raises(DataError, match=r"Asks asks for statistics and has no method prepared\(results\)"):
        give(Asks({}), {})

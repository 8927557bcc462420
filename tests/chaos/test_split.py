"""What both sides of a partition did, from a told story."""

from __future__ import annotations

import pytest

from pyfl import events
from pyfl.chaos.chronicle import Said
from pyfl.chaos.injection import Injected
from pyfl.chaos.plan import Planned
from pyfl.chaos.split import Split, broken_by, split
from pyfl.events import ObservedEvent, Stamped

PEERS = 4
CUT, HEALED = 10.0, 40.0


def at(when: float, who: int, event: ObservedEvent) -> Said:
    return Said(who, Stamped(1, when, when, f"{who}" * 32, event))


def committed(when: float, who: int, number: int) -> Said:
    return at(when, who, events.RoundCommitted(number, 1, (), f"digest {number}", False, None, None, 0.0, 0.0))


def holds(when: float, who: int, number: int, digest: str = "") -> Said:
    return at(when, who, events.ModelInstalled(number, digest or f"digest {number}", "pulled"))


def cut(shape: str = "2:2", kind: str = "partition", number: int = 1, when: float = CUT) -> Injected:
    planned = Planned(3, kind, "train", False, shape, 0.0, 0.0, 0.0)
    healed = when + HEALED - CUT
    return Injected(number, planned, 3, "train", (1, 0), frozenset(), False, when - 0.3, 2, ended=healed, target_round=3, cut_at=when)


def both(said: list[Said], *others: Injected) -> tuple[tuple[tuple[int, ...], ...], float | None]:
    sides = split(cut(), said, PEERS, others)
    assert sides is not None
    assert sides.sides == ((0, 1), (2, 3))
    return sides.commits, sides.equal_s


ALL_AT_TWO = [entry for who in range(PEERS) for entry in (committed(9.0, who, 2), holds(9.0, who, 2))]
SPLIT = [*ALL_AT_TWO, *(entry for who in (2, 3) for entry in (committed(20.0, who, 3), holds(20.0, who, 3)))]
HEALING = [*SPLIT, committed(41.0, 0, 3), holds(42.0, 0, 3), committed(41.0, 1, 3), holds(43.5, 1, 3)]


def test_rounds_are_of_the_side_that_committed_them_and_seconds_until_the_last_holds_the_furthest_round() -> None:
    assert both(HEALING) == (((), (3,)), 3.5)


def test_a_round_that_goes_on_before_the_last_has_the_one_before_is_waited_for() -> None:
    ahead = [*HEALING[:-1], *(holds(43.0, who, 4) for who in (0, 2, 3)), holds(43.5, 1, 3)]
    assert both(ahead)[1] is None
    assert both([*ahead, holds(45.0, 1, 4)])[1] == 5.0


def test_another_digest_of_the_same_round_is_not_equal() -> None:
    assert both([*SPLIT, holds(42.0, 0, 3), holds(42.0, 1, 3, "another")])[1] is None


def test_a_new_process_holds_nothing_yet() -> None:
    again = at(41.5, 3, events.RunAdopted("run", "onehot", 3, 10, False))
    assert both([*HEALING, again])[1] is None
    assert both([*HEALING, again, holds(44.0, 3, 3)])[1] == 4.0


def test_who_never_differed_is_equal_at_once() -> None:
    assert both(ALL_AT_TWO) == (((), ()), 0.0)


def test_after_another_fault_it_is_not_this_one_that_is_healed() -> None:
    assert both(HEALING, cut(number=2, when=43.0)) == (((), (3,)), None)


def test_both_sides_can_be_seen_to_commit() -> None:
    assert both([*SPLIT, committed(30.0, 0, 3)])[0] == ((3,), (3,))


@pytest.mark.parametrize(
    ("commits", "equal_s", "last", "broken"),
    [
        (((3, 4), ()), 1.0, True, []),
        (((3, 4), (3,)), 1.0, True, ["I2"]),
        (((3, 4), ()), None, True, ["I5"]),
        (((3, 4), ()), None, False, []),
    ],
)
def test_two_sides_that_commit_or_never_meet_again_break_a_promise(
    commits: tuple[tuple[int, ...], tuple[int, ...]], equal_s: float | None, last: bool, broken: list[str]
) -> None:
    sides = Split(((0, 1), (2, 3)), commits, equal_s)
    assert [violation.invariant for violation in broken_by(cut(), sides, last=last)] == broken


@pytest.mark.parametrize(("heard", "commits"), [(10.4, ((), (3,))), (12.0, ((3,), (3,)))])
def test_a_commit_that_passed_before_the_cut_was_whole_is_of_one_side(heard: float, commits: tuple[tuple[int, ...], ...]) -> None:
    assert both([*ALL_AT_TWO, committed(10.2, 2, 3), committed(heard, 0, 3)])[0] == commits


@pytest.mark.parametrize(("shape", "kind"), [("one-way", "partition"), ("", "kill"), ("both", "link")])
def test_other_faults_make_no_sides(shape: str, kind: str) -> None:
    assert split(cut(shape, kind), [], PEERS) is None

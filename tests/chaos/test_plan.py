"""A seed is a plan; a plan never asks for what must not be done."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfl.chaos.aim import Swarm, choose
from pyfl.chaos.plan import KINDS, PHASES, SHAPES, Planned, draw, kinds_of
from pyfl.chaos.settings import ChaosSettings
from pyfl.errors import ChaosError


def planned(kind: str, *, coordinator: bool = False, shape: str = "", pick: float = 0.0, at: float = 0.0) -> Planned:
    return Planned(1, kind, "train", coordinator, shape, at, pick, 0.5)


def test_a_seed_repeats_its_plan_and_another_seed_does_not() -> None:
    assert draw(KINDS, 100, 1.0, 0.25, 7) == draw(KINDS, 100, 1.0, 0.25, 7)
    assert draw(KINDS, 100, 1.0, 0.25, 7) != draw(KINDS, 100, 1.0, 0.25, 8)


@pytest.mark.parametrize(("per_round", "faults"), [(1.0, 100), (0.5, 50), (2.0, 200), (0.0, 0)])
def test_there_are_so_many_faults_a_round(per_round: float, faults: int) -> None:
    assert len(draw(("kill",), 100, per_round, 0.25, 1)) == faults


def test_kinds_come_about_as_often_as_each_other_and_a_quarter_hit_the_coordinator() -> None:
    plan = draw(KINDS, 800, 1.0, 0.25, 3)
    assert [sum(p.kind == kind for p in plan) for kind in KINDS] == [100] * len(KINDS)
    assert 130 <= sum(p.coordinator for p in plan) <= 220
    assert {p.phase for p in plan} == set(PHASES)
    assert all(p.phase != "between" for p in plan if p.round == 800)


def test_a_split_that_is_asked_for_is_the_shape_of_every_partition_and_of_nothing_else() -> None:
    asked = draw(KINDS, 80, 1.0, 0.25, 3, "4:2")
    assert {p.shape for p in asked if p.kind == "partition"} == {"4:2"}
    assert {p.shape for p in asked if p.kind == "link"} == set(SHAPES["link"])


@pytest.mark.parametrize("text", ["3", "3:2", "6:0", "2:2:2", "a:b", "-1:7"])
def test_a_split_that_is_not_all_peers_on_two_sides_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ChaosError, match="two sides that are 6 peers together"):
        ChaosSettings(directory=tmp_path, faults=("partition",), split=text)


def test_a_split_and_its_healing_want_faults_that_they_are_of(tmp_path: Path) -> None:
    with pytest.raises(ChaosError, match="does not name partition"):
        ChaosSettings(directory=tmp_path, faults=("kill", "link"), split="3:3")
    with pytest.raises(ChaosError, match="--heal-after is for link, partition, slow"):
        ChaosSettings(directory=tmp_path, faults=("kill", "stop"), heal_after_s=30.0)


def test_an_unknown_fault_is_named_with_the_near_one() -> None:
    with pytest.raises(ChaosError, match="Did you mean 'partition'"):
        kinds_of("kill,partitoin")
    with pytest.raises(ChaosError, match="none was named"):
        kinds_of(" , ")
    assert kinds_of("all") == KINDS
    assert kinds_of("kill, stop,kill") == ("kill", "stop")


@given(st.sampled_from(("kill", "stop", "wipe", "disk")), st.booleans(), st.floats(0, 0.999), st.sets(st.integers(0, 5)), st.data())
def test_the_committee_keeps_its_majority(kind: str, coordinator: bool, pick: float, well: set[int], data: st.DataObject) -> None:
    voters = frozenset(data.draw(st.sets(st.integers(0, 5), min_size=1, max_size=5)))
    swarm = Swarm(6, frozenset(well), voters, data.draw(st.none() | st.integers(0, 5)))
    victims = choose(planned(kind, coordinator=coordinator, pick=pick), swarm)
    if victims is not None:
        left = swarm.well - set(victims)
        assert set(victims) <= swarm.well
        assert 2 * len(left & voters) > len(voters)
        assert 2 * len(left) > 6


def test_nobody_is_hit_while_the_committee_is_not_known() -> None:
    assert choose(planned("kill"), Swarm(6, frozenset(range(6)), frozenset(), 0)) is None


def test_power_and_cuts_wait_until_all_are_well() -> None:
    ill = Swarm(6, frozenset(range(5)), frozenset(range(5)), 0)
    well = Swarm(6, frozenset(range(6)), frozenset(range(5)), 0)
    for kind in ("power", "partition", "link", "slow"):
        assert choose(planned(kind), ill) is None
        assert choose(planned(kind), well)
    assert choose(planned("power"), well) == tuple(range(6))


@pytest.mark.parametrize(("shape", "size"), [("one", 1), ("half", 3), ("third", 2), ("one-way", 1), ("4:2", 4), ("2:4", 2)])
def test_a_partition_has_one_side_of_its_shape(shape: str, size: int) -> None:
    swarm = Swarm(6, frozenset(range(6)), frozenset(range(5)), 2)
    side = choose(planned("partition", shape=shape, coordinator=True, at=0.7), swarm)
    assert side is not None
    assert side[0] == 2
    assert len(set(side)) == size


def test_the_coordinator_is_hit_when_it_is_aimed_at_and_spared_when_not() -> None:
    swarm = Swarm(6, frozenset(range(6)), frozenset(range(5)), 4)
    assert choose(planned("kill", coordinator=True), swarm) == (4,)
    assert all(choose(planned("kill", pick=pick / 100), swarm) != (4,) for pick in range(100))

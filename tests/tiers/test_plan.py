"""Laws of the trees: every live member is in each tree once, whoever died and whichever pairs cannot meet."""

from hypothesis import given
from hypothesis import strategies as st

from pyfl.tiers import Tiers, chain, direct, parse, plan_segment, rotated, star, tree

shapes = st.sampled_from([rotated(2), rotated(4), tree(2), tree(4), chain(), star(), direct(), rotated(8)])


@st.composite
def situations(draw: st.DrawFn) -> tuple[Tiers, int, frozenset[int], int, frozenset[tuple[int, int]]]:
    slots = draw(st.integers(1, 40))
    live = draw(st.frozensets(st.integers(0, slots - 1), min_size=1))
    slot = st.integers(0, slots - 1)
    avoid = draw(st.frozensets(st.tuples(slot, slot), max_size=4))
    return draw(shapes), slots, live, draw(st.integers(0, 60)), avoid


@given(situations())
def test_every_live_member_is_below_the_root_exactly_once(situation: tuple) -> None:
    tiers, slots, live, segment, avoid = situation
    plan = plan_segment(tiers, slots, live, segment, avoid)
    assert sorted(plan.subtree(plan.root)) == sorted(live)
    for slot in live:
        for child in plan.children[slot]:
            assert plan.parent[child] == slot


@given(st.integers(3, 30), st.integers(0, 40), st.data())
def test_an_avoided_pair_is_no_edge_while_another_way_exists(slots: int, segment: int, data: st.DataObject) -> None:
    a = data.draw(st.integers(0, slots - 1))
    b = data.draw(st.integers(0, slots - 1).filter(lambda other: other != a))
    plan = plan_segment(rotated(2), slots, frozenset(range(slots)), segment, frozenset({(a, b)}))
    assert plan.parent[a] != b
    assert plan.parent[b] != a


@given(st.integers(2, 60), st.integers(1, 8))
def test_without_deaths_no_member_has_more_than_k_children(slots: int, k: int) -> None:
    for segment in range(4 * k):
        plan = plan_segment(rotated(k), slots, frozenset(range(slots)), segment)
        assert max(len(c) for c in plan.children) <= k


def test_at_k_4_nobody_sends_more_than_2_06_models() -> None:
    for slots in (5, 10, 16, 50, 100):
        segments = 4 * 4 * slots
        sent = [0] * slots
        for segment in range(segments):
            plan = plan_segment(rotated(4), slots, frozenset(range(slots)), segment)
            for slot in range(slots):
                sent[slot] += len(plan.children[slot]) + (plan.parent[slot] >= 0)
        assert max(sent) / segments <= 2.06


def test_shapes_are_read_back_from_their_text() -> None:
    for shape in (rotated(4), rotated(2), tree(3), chain(), star(), direct()):
        assert parse(str(shape)) == shape


@given(situations())
def test_each_dead_member_s_place_goes_to_its_first_live_child(situation: tuple) -> None:
    """However many died at once: told from the top down here, worked out from the bottom up there."""
    tiers, slots, live, segment, _ = situation
    k, trees = tiers.resolve(slots)
    start = (segment % trees) * slots // trees

    def holder(position: int) -> int:
        if position >= slots:
            return -1
        slot = (position + start) % slots
        return slot if slot in live else next((h for child in range(k) if (h := holder(k * position + 1 + child)) >= 0), -1)

    expected: dict[int, set[int]] = {slot: set() for slot in live}
    for position in range(1, slots):
        above, below = holder((position - 1) // k), holder(position)
        if below >= 0 and above != below:
            expected[above].add(below)
    plan = plan_segment(tiers, slots, live, segment)
    assert {slot: set(plan.children[slot]) for slot in live} == expected


@given(situations(), st.data())
def test_a_death_leaves_the_living_where_they_were(situation: tuple, data: st.DataObject) -> None:
    """Slots never change: who is a live member's child stays it."""
    tiers, slots, live, segment, _ = situation
    fewer = data.draw(st.frozensets(st.sampled_from(sorted(live)), min_size=1))
    before, after = plan_segment(tiers, slots, live, segment), plan_segment(tiers, slots, fewer, segment)
    for slot in fewer:
        assert set(before.children[slot]) & fewer <= set(after.children[slot])

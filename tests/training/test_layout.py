"""A layout says where each tensor lies, and what differs from another's."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfl.errors import LayoutError
from pyfl.training import Layout, TensorSpec

shapes = st.lists(st.integers(1, 5), max_size=3).map(tuple)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    names = draw(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=6, unique=True))
    trainable = draw(st.integers(0, len(names)))
    return Layout(tuple(TensorSpec(name, draw(shapes), place < trainable) for place, name in enumerate(names)))


@given(layouts())
def test_views_cover_the_flat_vector_once_and_in_order(layout: Layout) -> None:
    flat = np.arange(layout.size, dtype=np.float32)
    views = layout.views(flat)
    assert np.array_equal(np.concatenate([view.ravel() for view in views]), flat)
    assert all(np.shares_memory(view, flat) for view in views)
    assert layout.bounds.tolist() == [0, *np.cumsum([view.size for view in views])]
    assert layout.trainable_size == sum(v.size for v, t in zip(views, layout.tensors, strict=True) if t.trainable)


@given(layouts(), layouts())
def test_layouts_differ_in_words_exactly_when_their_digests_differ(one: Layout, other: Layout) -> None:
    assert (one.digest == other.digest) == (one == other) == (one.difference(other) == [])
    assert one.difference(one) == []


@given(layouts())
def test_a_layout_survives_the_run_record(layout: Layout) -> None:
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(layout), type=Layout)
    assert again == layout
    assert again.digest == layout.digest


def test_the_digest_does_not_change_between_versions() -> None:
    # A changed digest would refuse every peer of an older version: change it knowingly.
    layout = Layout((TensorSpec("dense/kernel", (64, 10)), TensorSpec("norm/mean", (10,), trainable=False)))
    assert layout.digest == "2ad992723ab2c4e6f7bf22955860c462e59cea5ec980d5dd1248cea1a3a07c40"


def test_a_difference_names_the_tensor_and_both_sides() -> None:
    here = Layout((TensorSpec("a", (64, 10)), TensorSpec("b", (3,)), TensorSpec("c", (3,), trainable=False)))
    swarm = Layout((TensorSpec("a", (64, 12)), TensorSpec("c", (3,)), TensorSpec("d", ())))
    assert here.difference(swarm) == [
        "a: shape (64, 10) here, (64, 12) in the swarm",
        "b: shape (3,) here, absent in the swarm",
        "c: not trainable here, trainable in the swarm",
        "d: absent here, shape () in the swarm",
    ]


def test_another_order_is_a_difference() -> None:
    a, b = TensorSpec("a", (2,)), TensorSpec("b", (2,))
    assert Layout((a, b)).difference(Layout((b, a))) == ["order: tensor 0 is a here, b in the swarm"]


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ((), "no tensors"),
        ((TensorSpec("a", (2,)), TensorSpec("a", (3,))), "'a'"),
        ((TensorSpec("a", (2, 0)),), "every side"),
        ((TensorSpec("a", (1 << 30, 1 << 30)),), "more than"),
        ((TensorSpec("a", (1,), trainable=False), TensorSpec("b", (1,))), "trainable ones first"),
    ],
)
def test_a_layout_that_contradicts_itself_is_refused(tensors: tuple[TensorSpec, ...], words: str) -> None:
    with pytest.raises(LayoutError, match=words):
        Layout(tensors)
    hostile = msgspec.msgpack.encode({"tensors": [msgspec.to_builtins(tensor) for tensor in tensors]})
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.msgpack.decode(hostile, type=Layout)


@pytest.mark.parametrize("flat", [np.zeros(3, np.float32), np.zeros(2, np.float64), np.zeros((2, 1), np.float32)])
def test_a_vector_that_does_not_fit_is_refused(flat: np.ndarray) -> None:
    with pytest.raises(LayoutError, match=r"needs float32\[2\]"):
        Layout((TensorSpec("a", (2,)),)).views(flat)

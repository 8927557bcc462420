"""What the kernels refuse, and what it says: nothing is converted, copied or half written."""

# pyright: reportArgumentType=false
# Wrong types are the point here.

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

import numpy as np
import pytest

from pyfl import kernels

BOUNDS = np.array([0, 4], dtype=np.int64)
ONE = np.ones(1, dtype=np.float32)


def f32(n: int = 4) -> np.ndarray:
    return np.ones(n, dtype=np.float32)


def i32(n: int = 4) -> np.ndarray:
    return np.ones(n, dtype=np.int32)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: kernels.exponents([1.0], BOUNDS), TypeError, "x must be .* float32, got list"),
        (lambda: kernels.exponents(np.ones(4), BOUNDS), TypeError, "x must be .* float32, got float64 array"),
        (lambda: kernels.exponents(f32().astype(">f4"), BOUNDS), TypeError, "x must be"),
        (lambda: kernels.exponents(f32().reshape(2, 2), BOUNDS), ValueError, r"1-D .* got .* shape \(2, 2\)"),
        (lambda: kernels.exponents(f32(8)[::2], BOUNDS), ValueError, "gaps or reversed"),
        (lambda: kernels.exponents(f32()[::-1], BOUNDS), ValueError, "gaps or reversed"),
        (lambda: kernels.exponents(np.zeros(17, np.uint8)[1:].view(np.float32), BOUNDS), ValueError, "multiple of 4"),
        (lambda: kernels.exponents(f32(), BOUNDS.astype(np.int32)), TypeError, "bounds must be .* int64"),
        (lambda: kernels.exponents(f32(), np.zeros(0, np.int64)), ValueError, "one more value than"),
        (lambda: kernels.exponents(f32(), np.array([0, 3])), ValueError, "end at the number of values .4., got 0 to 3"),
        (lambda: kernels.exponents(f32(), np.array([1, 4])), ValueError, "start at 0"),
        (lambda: kernels.exponents(f32(), np.array([0, 3, 2, 4])), ValueError, r"bounds\[2\] = 2 after 3"),
        (lambda: kernels.quantise(i32(), f32(), BOUNDS, f32(2), ONE), ValueError, "multipliers must have one value"),
        (lambda: kernels.quantise(i32(), f32(), BOUNDS, ONE, f32(2)), ValueError, "clips must have one value"),
        (lambda: kernels.quantise(i32(3), f32(), BOUNDS, ONE, ONE), ValueError, "update must be as long as out"),
        (lambda: kernels.add(i32(), i32(3)), ValueError, r"x must be as long as acc \(4 values\), got 3"),
        (lambda: kernels.add(np.frombuffer(bytes(16), np.int32), i32()), ValueError, "acc is read-only"),
        (lambda: kernels.add_bounded(i32(), i32(), BOUNDS, i32(1)), TypeError, "limits must be .* uint32"),
        (lambda: kernels.dequantise(f32(), f32(), BOUNDS, ONE, 1.0), TypeError, "total must be .* int32"),
        (lambda: kernels.step_plain(f32(), f32(3), f32(), 1.0), ValueError, "base must be as long as out"),
        (lambda: kernels.use_clone("z80"), ValueError, "no clone 'z80' here; this machine can run .*default"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named(call: Callable[[], object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call()


def test_arrays_shifted_against_each_other_are_refused() -> None:
    room = i32(5)
    with pytest.raises(ValueError, match="acc and x overlap in part"):
        kernels.add(room[1:], room[:-1])
    np.testing.assert_array_equal(room, 1)


def test_two_outputs_may_not_be_the_same_memory() -> None:
    out = f32()
    with pytest.raises(ValueError, match="out and new_m are both written"):
        kernels.step_momentum(out, out, f32(), f32(), f32(), 0.9, 1.0)


def test_an_array_added_to_itself_doubles() -> None:
    acc = i32()
    kernels.add(acc, acc)
    np.testing.assert_array_equal(acc, 2)


def test_an_empty_segment_and_empty_pieces_are_fine() -> None:
    empty, none = np.zeros(0, np.float32), np.zeros(1, np.int64)
    found, finite = kernels.exponents(empty, none)
    assert (list(found), finite) == ([], True)
    found, finite = kernels.exponents(f32(), np.array([0, 0, 4, 4]))
    assert (list(found), finite) == ([kernels.ZERO_EXPONENT, 1, kernels.ZERO_EXPONENT], True)
    kernels.add(i32(0), i32(0))


def test_another_rounding_mode_on_the_thread_changes_nothing() -> None:
    """A library linked with -ffast-math, or fesetround, must not make one peer's digest differ."""
    libm = ctypes.CDLL("libm.so.6")
    downward = {"x86_64": 0x400, "aarch64": 0x800000}[__import__("platform").machine()]
    update, out, expected = np.array([2.5, 3.5, 0.7, -0.7], np.float32), i32(), [2, 4, 1, -1]
    seen: list[int] = []

    def round_downwards() -> None:
        libm.fesetround(downward)
        kernels.quantise(out, update, BOUNDS, ONE, np.full(1, 100, np.float32))
        seen.append(libm.fegetround())

    thread = threading.Thread(target=round_downwards)
    thread.start()
    thread.join()
    np.testing.assert_array_equal(out, expected)
    assert seen == [downward], "the thread's own mode was not put back"


def test_the_best_clone_is_used_unless_told_otherwise() -> None:
    assert kernels.active_clone() == kernels.clones()[0]
    assert kernels.clones()[-1] == "default"

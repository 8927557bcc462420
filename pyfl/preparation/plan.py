"""What a trainer asks to be prepared: its statistics as the run record tells them, its own summand, and the results for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyfl.errors import DataError, RefusedBySwarm
from pyfl.preparation.statistic import Ring, Statistic
from pyfl.preparation.wire import to_wire

__all__ = ["MOST_NUMBERS", "Asked", "Measured", "asked", "asked_of", "check_same", "give", "numbers", "results", "statistics_of", "summand"]

MOST_NUMBERS = 1 << 22
"""Of all statistics together: 64 MiB of limbs, three times of that in memory. A vocabulary of 10,000 words takes 140,000."""

Measured = Mapping[str, tuple[Statistic, Any]]
"""By name: a statistic, and what of this peer's data it is of."""


class Asked(msgspec.Struct, frozen=True):
    """One statistic in the run's record: the name that the app gives it, the statistic with its arguments, the length of its vector."""

    name: str
    statistic: str
    length: int


def asked(statistics: Mapping[str, Statistic]) -> tuple[Asked, ...]:
    """As the run's record tells them, by name. Raises `DataError` for one whose text is not the same at every peer, or too many numbers."""
    found = tuple(Asked(name, repr(statistics[name]), statistics[name].length) for name in sorted(statistics))
    for one in found:
        if re.search(r" at 0x[0-9a-f]+>", one.statistic):
            raise DataError(
                f"Statistic {one.name!r} is told as {one.statistic}, which differs from peer to peer; expected its class and its "
                "arguments. Give it a __repr__; a frozen dataclass has one."
            )
        if one.length < 1:
            raise DataError(f"Statistic {one.name!r}, {one.statistic}, is a vector of {one.length} numbers; expected at least one.")
    if numbers(found) > MOST_NUMBERS:
        raise DataError(
            f"The statistics {', '.join(one.name for one in found)} are {numbers(found)} numbers together; expected at most "
            f"{MOST_NUMBERS}. Ask for fewer classes or words."
        )
    return found


def numbers(prepare: tuple[Asked, ...]) -> int:
    """How many int64 the vectors of all statistics have together."""
    return sum(one.length for one in prepare)


def statistics_of(trainer: object) -> Measured:
    """What a trainer asks for, nothing if it does not say."""
    say = cast("Callable[[], Measured] | None", getattr(trainer, "statistics", None))
    return say() if say is not None else {}


def asked_of(trainer: object) -> tuple[Asked, ...]:
    """What a trainer asks for, as the run's record tells it. Raises as `asked`."""
    return asked({name: statistic for name, (statistic, _) in statistics_of(trainer).items()})


def check_same(ours: tuple[Asked, ...], swarm: tuple[Asked, ...]) -> None:
    """Raise `RefusedBySwarm` naming what differs."""
    here, there = ({one.name: one for one in side} for side in (ours, swarm))
    wrong = [
        f"{name}: {_told(here.get(name))} here, {_told(there.get(name))} there"
        for name in sorted({*here, *there})
        if here.get(name) != there.get(name)
    ]
    if wrong or ours != swarm:
        raise RefusedBySwarm(
            f"This peer would prepare other statistics than the swarm: {'; '.join(wrong[:10]) or 'in another order'}. "
            "Use the swarm's app, and the same version of it."
        )


def _told(one: Asked | None) -> str:
    return f"{one.statistic} of {one.length} numbers" if one else "none"


def summand(trainer: object) -> NDArray[np.int32]:
    """This peer's vectors as limbs, int32[4 n], in the order of the names. Raises `DataError` for data that does not suit a statistic."""
    measured = statistics_of(trainer)
    vectors = [_local(name, *measured[name]) for name in sorted(measured)]
    return to_wire(np.concatenate(vectors))


def _local(name: str, statistic: Statistic, data: object) -> Ring:
    try:
        vector = cast("Any", statistic.local(data))
    except DataError as error:
        raise DataError(f"Statistic {name!r} of this peer's data: {error}") from error
    if not isinstance(vector, np.ndarray):
        raise DataError(
            f"Statistic {name!r} gave {type(vector).__name__} for this peer's data; expected an array int64[{statistic.length}]."
        )
    array = cast("Ring", vector)
    if array.dtype != np.int64 or array.shape != (statistic.length,):
        raise DataError(
            f"Statistic {name!r} gave {array.dtype}{list(array.shape)} for this peer's data; expected int64[{statistic.length}]."
        )
    return array


def give(trainer: object, results: Mapping[str, Any]) -> None:
    """Hand the results to a trainer that asked for statistics. Raises `DataError` when it has no `prepared` to take them."""
    prepared = cast("Callable[[Mapping[str, Any]], None] | None", getattr(trainer, "prepared", None))
    if prepared is None:
        raise DataError(f"{type(trainer).__name__} asks for statistics and has no method prepared(results) to take them. Give it one.")
    prepared(results)


def results(statistics: Mapping[str, Statistic], total: Ring) -> dict[str, Any]:
    """What the sum of the peers' vectors, int64[n], says, by name.

    Raises `DataError`, the same at every peer, for a sum that says nothing.
    """
    found: dict[str, Any] = {}
    begin = 0
    for name in sorted(statistics):
        end = begin + statistics[name].length
        try:
            found[name] = statistics[name].finish(total[begin:end])
        except DataError as error:
            raise DataError(f"Statistic {name!r} of the whole swarm: {error}") from error
        begin = end
    return found

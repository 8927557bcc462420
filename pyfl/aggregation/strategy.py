"""A strategy: what the server step does with the mean update. Small values, registered by name, held in the run's record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyfl.errors import StrategyError

__all__ = ["ServerStep", "Strategy", "register", "server_step", "strategies"]

Flat = NDArray[np.float32]


class Strategy(msgspec.Struct, frozen=True):
    """A registered strategy by name with its arguments; comparable, printable, serialised as it is."""

    name: str
    arguments: dict[str, float] = {}

    def __str__(self) -> str:
        inner = ",".join(f"{key}={value:g}" for key, value in sorted(self.arguments.items()))
        return f"{self.name}:{inner}" if inner else self.name


class ServerStep(Protocol):
    """The server's optimizer on one piece of the flat vector. Pure: the same inputs give the same bits everywhere."""

    @property
    def state_vectors(self) -> int:
        """How many vectors as long as the trainable part the server state has."""
        ...

    def __call__(self, out: Flat, base: Flat, delta: Flat, state: list[Flat], new_state: list[Flat]) -> None:
        """Write the new weights to `out` and the new state to `new_state`. `out` may be `delta`'s memory."""
        ...


Factory = Callable[..., ServerStep]
_REGISTERED: dict[str, tuple[Factory, Mapping[str, float]]] = {}


def register(name: str, factory: Factory, defaults: Mapping[str, float]) -> None:
    """Make a strategy known by name; `factory(**arguments)` gives its step. Every peer of a run must have it registered."""
    if name in _REGISTERED:
        raise StrategyError(f"A strategy named {name!r} is registered already; choose another name.")
    _REGISTERED[name] = (factory, dict(defaults))


def strategies() -> dict[str, dict[str, float]]:
    """The registered names with their arguments' defaults."""
    return {name: dict(defaults) for name, (_, defaults) in sorted(_REGISTERED.items())}


def make(name: str, **arguments: float) -> Strategy:
    """A strategy with defaults filled in; raises `StrategyError` naming what is known."""
    if name not in _REGISTERED:
        raise StrategyError(f"Strategy {name!r} is not known; expected one of {', '.join(sorted(_REGISTERED))}.")
    defaults = _REGISTERED[name][1]
    unknown = sorted(set(arguments) - set(defaults))
    if unknown:
        raise StrategyError(f"Strategy {name!r} has no argument {unknown[0]!r}; it takes {', '.join(sorted(defaults)) or 'none'}.")
    return Strategy(name, {**defaults, **arguments})


def parse(text: str) -> Strategy:
    """Read `fedavg` or `fedavgm:momentum=0.9,learning_rate=1`."""
    name, _, inner = text.partition(":")
    arguments: dict[str, float] = {}
    for part in filter(None, inner.split(",")):
        key, equals, value = part.partition("=")
        try:
            arguments[key.strip()] = float(value)
        except ValueError as error:
            raise StrategyError(f"{part!r} in strategy {text!r} is no number; expected name:key=value,key=value.") from error
        if not equals:
            raise StrategyError(f"{part!r} in strategy {text!r} has no value; expected name:key=value,key=value.")
    return make(name, **arguments)


def server_step(strategy: Strategy) -> ServerStep:
    """The step of a strategy from a record; raises `StrategyError` when this installation does not have it."""
    return _REGISTERED[make(strategy.name, **strategy.arguments).name][0](**strategy.arguments)

"""An app: what a swarm trains. A value that makes a peer's trainer from its place among the peers and options."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from pyfl.datasets.partitions import parse
from pyfl.errors import AppError
from pyfl.training.arrays import from_trainer
from pyfl.training.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyfl.datasets.dataset import Dataset
    from pyfl.training.trainer import FlatTrainer, Trainer

__all__ = ["App", "Assignment", "Option"]

Option = str | int | float
"""The value of an option; its type is that of the default."""

KERAS_OPTIONS: Mapping[str, Option] = {"partition": "iid", "local_epochs": 1, "batch_size": 32, "threads": 1}
# A peer that is told neither its index nor of how many takes one of so many parts, by its id.
DEFAULT_PARTS = 6


@dataclass(frozen=True, slots=True)
class Assignment:
    """Part of the data for one peer: number `index` of `of`, divided under `seed`."""

    index: int
    of: int
    seed: int


@dataclass(frozen=True)
class App:
    """What `--app package.module:name` names. Give `model` with `data` or `own_data`, or give `trainer`.

    `options` are defaults that replace or add to those of Keras apps: partition, local_epochs, batch_size, threads.
    """

    model: Callable[[], Any] | None = None
    """Returns a compiled Keras model."""
    data: Callable[[], Dataset] | None = None
    """Returns the whole dataset, the same at every peer; the option `partition` divides it."""
    own_data: Callable[[Assignment], Dataset] | None = None
    """Returns the data that this peer alone has."""
    trainer: Callable[[Assignment, Mapping[str, Option]], Trainer | FlatTrainer] | None = None
    """Returns a trainer; the way in for anything but Keras."""
    options: Mapping[str, Option] = field(default_factory=dict[str, Option])
    local: frozenset[str] = frozenset()
    """Options that say how this peer computes, not what the swarm does: peers may differ in them, as in `threads`."""
    positional: str = ""
    """The option that an argument without a name sets, as in `onehot:64MB`."""
    name: str = ""

    def __post_init__(self) -> None:
        keras = self.model is not None
        if keras and (self.data is None) == (self.own_data is None):
            raise AppError(
                "An App with a model takes either data (divided by `partition`) or own_data (this peer's alone)."
            )
        if keras == (self.trainer is not None):
            raise AppError("An App takes either a model (with data or own_data) or a trainer; give one of them.")

    def settings(self, options: Mapping[str, Option] | None = None) -> dict[str, Option]:
        """Return all options: the defaults under `options`. Raises `AppError` for an unknown name or a bad value."""
        known = {**(KERAS_OPTIONS if self.model is not None else {}), **self.options}
        for name, value in (options or {}).items():
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known)) or 'none'}."
                raise AppError(f"App {self.name or 'of this run'} has no option {name!r}; {hint}")
            known[name] = _convert(name, value, known[name])
        return known

    def record(self, options: Mapping[str, Option] | None = None) -> dict[str, Option]:
        """Return the options that all peers must share, for the run record."""
        local = self.local | {"threads"} if self.model is not None else self.local
        return {name: value for name, value in sorted(self.settings(options).items()) if name not in local}

    def with_options(self, options: Mapping[str, Option]) -> App:
        """Return the same app with other defaults."""
        return replace(self, options={**self.options, **self.settings(options)})

    def build(
        self,
        index: int | None = None,
        of: int | None = None,
        seed: int = 0,
        options: Mapping[str, Option] | None = None,
        peer: str = "",
    ) -> FlatTrainer:
        """Make this peer's trainer. Without `index`, it derives from the id `peer`; without `of`, there are 6 parts.

        Raises `AppError`, `DataError` and `TrainingError`.
        """
        settings = self.settings(options)
        parts = of if of is not None else max(DEFAULT_PARTS, (index or 0) + 1)
        if index is None:
            index = int.from_bytes(hashlib.sha256(peer.encode()).digest()[:8], "big") % parts
        if not 0 <= index < parts:
            raise AppError(f"Peer {index} of {parts} does not exist; peers are counted from 0 to {parts - 1}.")
        assignment = Assignment(index, parts, seed)
        if self.trainer is not None:
            trainer = self.trainer(assignment, settings)
            return trainer if _is_flat(trainer) else from_trainer(cast("Trainer", trainer))
        return self._build_keras(assignment, settings)

    def _build_keras(self, assignment: Assignment, settings: Mapping[str, Option]) -> FlatTrainer:
        assert self.model is not None
        from pyfl.training.keras_trainer import KerasTrainer
        from pyfl.training.tensorflow_runtime import import_keras, set_threads

        dataset = self._share(assignment, settings)
        keras = import_keras()
        set_threads(int(settings["threads"]), 1)
        keras.utils.set_random_seed(assignment.seed)
        return KerasTrainer(
            self.model(),
            dataset.x_train,
            dataset.y_train,
            dataset.x_test if len(dataset.x_test) else None,
            dataset.y_test if len(dataset.x_test) else None,
            local_epochs=int(settings["local_epochs"]),
            batch_size=int(settings["batch_size"]),
        )

    def _share(self, assignment: Assignment, settings: Mapping[str, Option]) -> Dataset:
        if self.own_data is not None:
            return self.own_data(assignment)
        assert self.data is not None
        dataset = self.data()
        partition = parse(str(settings["partition"]))
        chosen = partition(dataset.y_train, assignment.of, assignment.index, assignment.seed)
        return replace(dataset, x_train=dataset.x_train[chosen], y_train=dataset.y_train[chosen])


def _is_flat(trainer: Trainer | FlatTrainer) -> TypeGuard[FlatTrainer]:
    return isinstance(getattr(trainer, "layout", None), Layout)


def _convert(name: str, value: Option, default: Option) -> Option:
    kind = type(default)
    try:
        return kind(value)
    except ValueError as error:
        raise AppError(f"Option {name} is {value!r}; expected {kind.__name__}, such as {default!r}.") from error

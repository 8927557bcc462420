"""An app: what a swarm trains. A value that makes a peer's trainer from its place among the peers and options."""

from __future__ import annotations

import difflib
import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import numpy as np

from pyfl.datasets.dataset import Dataset
from pyfl.datasets.partitions import parse
from pyfl.errors import AppError
from pyfl.preparation.plan import asked, numbers, results
from pyfl.training.arrays import from_trainer
from pyfl.training.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pyfl.apps.images import ImageInput
    from pyfl.preparation.statistic import Statistic
    from pyfl.training.trainer import FlatTrainer, Trainer

__all__ = ["App", "Assignment", "Option"]

Option = str | int | float
"""The value of an option; its type is that of the default."""

Options = Mapping[str, Option]

KERAS_OPTIONS: Options = {"partition": "iid", "local_epochs": 1, "batch_size": 32, "limit_samples": 0, "threads": 1}
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

    `prepare` names statistics of everyone's training data, each with the part of a peer's data that it is of; the swarm adds them up
    before round 1, and `prepared` makes of this peer's data and the results, the same at every peer, what is trained and evaluated on.

    `options` are defaults that replace or add to those of Keras apps: partition, local_epochs, batch_size, limit_samples (of
    this peer; 0: all), threads. `model`, `data` and `own_data` are given the options that their parameters name.
    """

    model: Callable[..., Any] | None = None
    """Returns a compiled Keras model."""
    data: Callable[..., Dataset] | None = None
    """Returns the whole dataset, the same at every peer; the option `partition` divides it."""
    own_data: Callable[..., Dataset] | None = None
    """Given an `Assignment`, returns the data that this peer alone has."""
    trainer: Callable[[Assignment, Options], Trainer | FlatTrainer] | None = None
    """Returns a trainer; the way in for anything but Keras."""
    prepare: Mapping[str, tuple[Statistic, Callable[[Dataset], Any]]] = field(default_factory=dict[str, Any])
    """By name: the statistic, and a function from this peer's data to what it is of."""
    prepared: Callable[[Dataset, Mapping[str, Any]], Dataset] | None = None
    """Given data and results by name. Also called with inputs to predict for as held-out samples, and none to train on."""
    options: Options = field(default_factory=dict[str, Option])
    presets: Mapping[str, Options] = field(default_factory=dict[str, "Options"])
    """By the value of the option `model`: defaults that go with it, such as its batch size."""
    at_rest: Options = field(default_factory=dict[str, Option])
    """Options of a model that only predicts, such as no augmentation; its weights must stay the same."""
    local: frozenset[str] = frozenset()
    """Options that say how this peer computes, not what the swarm does: peers may differ in them, as in `threads`."""
    positional: str = ""
    """The option that an argument without a name sets, as in `onehot:64MB`."""
    images: ImageInput | None = None
    """How a picture becomes the model's input, for `pyfl predict`."""
    name: str = ""
    chosen: Options = field(default_factory=dict[str, Option])
    """Options that were given and not left to the defaults; see `with_options`."""

    def __post_init__(self) -> None:
        keras = self.model is not None
        if keras and (self.data is None) == (self.own_data is None):
            raise AppError("An App with a model takes either data (divided by `partition`) or own_data (this peer's alone).")
        if keras == (self.trainer is not None):
            raise AppError("An App takes either a model (with data or own_data) or a trainer; give one of them.")
        if bool(self.prepare) != (self.prepared is not None):
            raise AppError("An App takes both prepare (which statistics) and prepared (what is done with them), or neither.")
        if self.prepare and not keras:
            raise AppError("An App with a trainer leaves prepare out: the trainer has methods statistics() and prepared(results).")

    def settings(self, options: Options | None = None) -> dict[str, Option]:
        """Return all options: the defaults under `options`. Raises `AppError` for an unknown name or a bad value."""
        known = {**(KERAS_OPTIONS if self.model is not None else {}), **self.options}
        given: dict[str, Option] = {}
        for name, value in {**self.chosen, **(options or {})}.items():
            if name not in known:
                raise AppError(f"App {self.name or 'of this run'} has no option {name!r}; {_nearest(name, known)}")
            given[name] = _convert(name, value, known[name])
        if self.presets:
            kind = str(given.get("model", known["model"]))
            if kind not in self.presets:
                raise AppError(f"App {self.name or 'of this run'} has no model {kind!r}; {_nearest(kind, self.presets)}")
            known |= self.presets[kind]
        return known | given

    def record(self, options: Options | None = None) -> dict[str, Option]:
        """Return the options that all peers must share, for the run record."""
        local = self.local | {"threads"} if self.model is not None else self.local
        return {name: value for name, value in sorted(self.settings(options).items()) if name not in local}

    def with_options(self, options: Options) -> App:
        """Return the same app with these options chosen."""
        settings = self.settings(options)
        return replace(self, chosen={**self.chosen, **{name: settings[name] for name in options}})

    def build(
        self,
        index: int | None = None,
        of: int | None = None,
        seed: int = 0,
        options: Options | None = None,
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

    def _build_keras(self, assignment: Assignment, settings: Options) -> FlatTrainer:
        from pyfl.training.keras_trainer import KerasTrainer
        from pyfl.training.tensorflow_runtime import import_keras, set_threads

        dataset = self.share(assignment, settings)
        keras = import_keras()
        set_threads(int(settings["threads"]), 1)
        keras.utils.set_random_seed(assignment.seed)
        model = self.new_model(settings)

        def trainer(data: Dataset) -> FlatTrainer:
            return KerasTrainer(
                model,
                data.x_train,
                data.y_train,
                data.x_test if len(data.x_test) else None,
                data.y_test if len(data.x_test) else None,
                local_epochs=int(settings["local_epochs"]),
                batch_size=int(settings["batch_size"]),
            )

        if not self.prepare:
            return trainer(dataset)
        from pyfl.apps.preparing import PreparingKeras

        measured = {name: (statistic, of(dataset)) for name, (statistic, of) in self.prepare.items()}
        return PreparingKeras(model, dataset, measured, lambda results: trainer(self._with(dataset, results)))

    def _with(self, dataset: Dataset, results: Mapping[str, Any]) -> Dataset:
        if self.prepared is None:
            return dataset
        prepared = self.prepared(dataset, results)
        if not isinstance(cast("Any", prepared), Dataset):
            raise AppError(
                f"prepared returned {type(prepared).__name__}; expected a Dataset, as dataclasses.replace(data, x_train=...) makes."
            )
        return prepared

    def as_prepared(self, inputs: NDArray[Any], total: bytes) -> NDArray[Any]:
        """Inputs as the model was trained on them. `total`: the statistics' sum, as a checkpoint has it. Raises `AppError`."""
        if not self.prepare:
            return inputs
        statistics = {name: statistic for name, (statistic, _) in self.prepare.items()}
        wanted = numbers(asked(statistics))
        if len(total) != 8 * wanted:
            raise AppError(
                f"App {self.name} asks for statistics of {wanted} numbers, and the checkpoint has {len(total) // 8}. Use the app as it was "
                "when the run was founded."
            )
        labels = np.zeros(len(inputs), np.int64)
        data = Dataset(inputs[:0], labels[:0], inputs, labels, max(1, len(self.images.classes) if self.images else 1))
        return self._with(data, results(statistics, np.frombuffer(total, "<i8"))).x_test

    def new_model(self, settings: Options) -> Any:
        """Make the compiled Keras model. Raises `AppError` for an app without one."""
        if self.model is None:
            raise AppError(f"App {self.name} has no Keras model; its weights can be exported as safetensors.")
        return self.model(**_named(self.model, settings))

    def resting_model(self) -> Any:
        """Make the Keras model as it is used and not trained; its weights are arbitrary. Raises `AppError`."""
        model = self.new_model(self.settings(self.at_rest))
        if not model.built:
            # A subclassed model has its weights only once it has seen an input.
            data = self.share(Assignment(0, 1, 0), self.settings())
            model(data.x_train[:1], training=False)
        return model

    def share(self, assignment: Assignment, settings: Options) -> Dataset:
        """Return the data of one peer. Raises `DataError`."""
        if self.own_data is not None:
            dataset = self.own_data(assignment, **_named(self.own_data, settings))
        else:
            assert self.data is not None
            dataset = self.data(**_named(self.data, settings))
            partition = parse(str(settings["partition"]))
            chosen = partition(dataset.y_train, assignment.of, assignment.index, assignment.seed, dataset.groups)
            dataset = dataset.part(chosen)
        limit = int(settings["limit_samples"])
        if 0 < limit < len(dataset.y_train):
            draw = np.random.default_rng((assignment.seed, assignment.index))
            dataset = dataset.part(np.sort(draw.choice(len(dataset.y_train), limit, replace=False)))
        return dataset


def _is_flat(trainer: Trainer | FlatTrainer) -> TypeGuard[FlatTrainer]:
    return isinstance(getattr(trainer, "layout", None), Layout)


def _named(function: Callable[..., Any], settings: Options) -> dict[str, Option]:
    """The options that the function has parameters for."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some callables of C have no signature
        return {}
    return {name: settings[name] for name in parameters if name in settings}


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known)) or 'none'}."


def _convert(name: str, value: Option, default: Option) -> Option:
    kind = type(default)
    try:
        converted = kind(value)
    except ValueError as error:
        raise AppError(f"Option {name} is {value!r}; expected {kind.__name__}, such as {default!r}.") from error
    if name == "limit_samples" and int(converted) < 0:
        raise AppError(f"Option {name} is {value!r}; expected how many samples to train on at most, or 0 for all.")
    return converted

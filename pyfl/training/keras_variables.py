"""Keras variables and the flat vector: which variables travel, under which names, and how values get in and out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from pyfl.errors import ModelMismatch, NoTrainableWeights
from pyfl.training.layout import Layout, TensorSpec

if TYPE_CHECKING:
    from pyfl.training.trainer import Flat

__all__ = ["FlatVariables"]


class FlatVariables:
    """The float variables of a built Keras model in the layout's order.

    Raises `NoTrainableWeights`, and `ModelMismatch` for float variables that are not float32.
    """

    def __init__(self, model: Any) -> None:
        trainable: list[Any] = list(model.trainable_variables)
        if not trainable:
            raise NoTrainableWeights(
                f"Model {model.name!r} has no trainable weights, so there is nothing to federate. Give it a layer with "
                "weights and leave at least one layer trainable (layer.trainable = True); build it first."
            )
        # Seed generators and counters are integers: they stay here.
        statistics = [variable for variable in model.non_trainable_variables if _is_float(variable)]
        for variable in trainable + statistics:
            if variable.dtype != "float32":
                raise ModelMismatch(
                    f"Variable {variable.path} is {variable.dtype}; expected float32. For speed in lower precision set "
                    "keras.mixed_precision.set_dtype_policy('mixed_bfloat16'), which keeps variables in float32."
                )
        self._variables = trainable + statistics
        names = _stable_names(model, self._variables)
        self.layout = Layout(
            tuple(
                TensorSpec(name, tuple(int(side) for side in variable.shape), place < len(trainable))
                for place, (name, variable) in enumerate(zip(names, self._variables, strict=True))
            )
        )

    def load(self, flat: Flat) -> None:
        """Set the variables from `flat`; no variable shares memory with it afterwards."""
        for variable, view in zip(self._variables, self.layout.views(flat), strict=True):
            variable.assign(view)

    def store(self, out: Flat) -> None:
        """Write the variables into `out`, one copy in all."""
        for variable, view in zip(self._variables, self.layout.views(out), strict=True):
            # numpy() would copy once more; an array over the tensor's own memory does not.
            np.copyto(view, np.asarray(variable.value.read_value()))


def _is_float(variable: Any) -> bool:
    return "float" in str(variable.dtype)


def _stable_names(model: Any, variables: list[Any]) -> list[str]:
    """Paths without what depends on the process.

    Keras numbers automatic names by a counter of the process: the same model is `dense` in one peer and `dense_3` in
    another that built a model before. So automatic names are numbered anew in order of appearance; chosen names stay.
    """
    automatic = {_snake_case(type(layer).__name__) for layer in model._flatten_layers()}
    renamed: dict[tuple[str, ...], str] = {}
    taken: dict[tuple[str, ...], int] = {}
    names: list[str] = []
    for variable in variables:
        parts = tuple(variable.path.split("/"))
        if len(parts) > 1 and parts[0] == model.name:
            parts = parts[1:]
        new: tuple[str, ...] = ()
        for depth, part in enumerate(parts):
            stem = re.sub(r"_\d+$", "", part)
            if stem in automatic and depth < len(parts) - 1:
                old = parts[: depth + 1]
                if old not in renamed:
                    count = taken.get((*new, stem), 0)
                    taken[(*new, stem)] = count + 1
                    renamed[old] = f"{stem}_{count}" if count else stem
                part = renamed[old]
            new = (*new, part)
        names.append("/".join(new))
    return _unique(names)


def _unique(names: list[str]) -> list[str]:
    """Make names differ by a number: two variables of a layer may share a path."""
    seen: dict[str, int] = {}
    unique: list[str] = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        unique.append(f"{name}~{count}" if count else name)
    return unique


def _snake_case(name: str) -> str:
    """Keras's own rule for automatic names."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()

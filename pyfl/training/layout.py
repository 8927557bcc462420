"""The layout: which tensors make up a model, and where each lies in the flat float32 vector that travels.

All trainable tensors come first, then the non-trainable floats (BatchNorm's statistics). Integers, booleans and seed
state are local to a peer and have no place here (protocol.md, "Arithmetic").
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from pyfl.errors import LayoutError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Layout", "TensorSpec"]

# A layout may come from another peer: this bounds what it can make us allocate (elements, 4 TiB of float32).
LARGEST_MODEL = 1 << 40


class TensorSpec(msgspec.Struct, frozen=True):
    """One float32 tensor: its name, its shape, and whether the optimizer moves it."""

    name: str
    shape: tuple[int, ...]
    trainable: bool = True

    @property
    def size(self) -> int:
        """Number of elements; 1 for a scalar."""
        return prod(self.shape)


class Layout(msgspec.Struct, frozen=True, dict=True):
    """The tensors of a model in the order in which they lie in the flat vector.

    Raises `LayoutError` when it contradicts itself: no tensor, an empty one, a name twice, trainable ones last.
    """

    tensors: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        _check(self.tensors)

    @cached_property
    def bounds(self) -> NDArray[np.int64]:
        """Offsets int64[T+1]: tensor t is `flat[bounds[t]:bounds[t + 1]]`. Read-only."""
        bounds = np.zeros(len(self.tensors) + 1, dtype=np.int64)
        np.cumsum([tensor.size for tensor in self.tensors], out=bounds[1:])
        bounds.flags.writeable = False
        return bounds

    @cached_property
    def size(self) -> int:
        """P, the number of float32 values of the flat vector."""
        return sum(tensor.size for tensor in self.tensors)

    @cached_property
    def trainable_size(self) -> int:
        """How many of them, counted from the start, belong to trainable tensors."""
        return sum(tensor.size for tensor in self.tensors if tensor.trainable)

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, over the layout's canonical MessagePack."""
        canonical = [[tensor.name, list(tensor.shape), tensor.trainable] for tensor in self.tensors]
        return hashlib.sha256(msgspec.msgpack.encode(canonical)).hexdigest()

    def views(self, flat: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the tensors as views into `flat`, float32[P]; as writable as `flat` is. No copy is made."""
        if flat.shape != (self.size,) or flat.dtype != np.float32:
            raise LayoutError(
                f"The flat vector is {flat.dtype}{list(flat.shape)}; this layout needs float32[{self.size}]. "
                "Allocate it with np.empty(layout.size, np.float32)."
            )
        return [
            flat[start:stop].reshape(tensor.shape)
            for tensor, start, stop in zip(self.tensors, self.bounds[:-1], self.bounds[1:], strict=True)
        ]

    def difference(self, swarm: Layout, where: str = "in the swarm") -> list[str]:
        """Say what differs between this peer's layout and the swarm's, a line a difference; empty when equal. `where`: what that is."""
        here = {tensor.name: tensor for tensor in self.tensors}
        there = {tensor.name: tensor for tensor in swarm.tensors}
        lines: list[str] = []
        for name, tensor in here.items():
            other = there.get(name)
            if other is None:
                lines.append(f"{name}: shape {tensor.shape} here, absent {where}")
                continue
            if tensor.shape != other.shape:
                lines.append(f"{name}: shape {tensor.shape} here, {other.shape} {where}")
            if tensor.trainable != other.trainable:
                lines.append(f"{name}: {_kind(tensor)} here, {_kind(other)} {where}")
        lines.extend(f"{name}: absent here, shape {tensor.shape} {where}" for name, tensor in there.items() if name not in here)
        if not lines and self.tensors != swarm.tensors:
            place, ours, theirs = next(
                (place, a.name, b.name) for place, (a, b) in enumerate(zip(self.tensors, swarm.tensors, strict=True)) if a != b
            )
            lines.append(f"order: tensor {place} is {ours} here, {theirs} {where}")
        return lines


def _kind(tensor: TensorSpec) -> str:
    return "trainable" if tensor.trainable else "not trainable"


def _check(tensors: Sequence[TensorSpec]) -> None:
    if not tensors:
        raise LayoutError("The layout has no tensors; a model to federate has at least one float tensor.")
    seen: set[str] = set()
    total = 0
    ended = ""
    for tensor in tensors:
        if tensor.name in seen:
            raise LayoutError(f"Two tensors are named {tensor.name!r}; names must differ. Rename one of them.")
        seen.add(tensor.name)
        if any(side < 1 for side in tensor.shape):
            raise LayoutError(f"Tensor {tensor.name!r} has shape {tensor.shape}; every side must be at least 1. Leave empty ones out.")
        total += tensor.size
        if total > LARGEST_MODEL:
            raise LayoutError(f"The layout has more than {LARGEST_MODEL} values, at tensor {tensor.name!r}.")
        if not tensor.trainable:
            ended = ended or tensor.name
        elif ended:
            raise LayoutError(f"Trainable tensor {tensor.name!r} comes after {ended!r}, which is not; put trainable ones first.")

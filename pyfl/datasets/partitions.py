"""How a dataset is divided among peers: pure functions of labels, number of peers and seed, under Flower's names.

A partitioner is a value: printable, comparable, parsed from its printed form, so that the run record can hold it.
Every peer computes the whole partition and takes its own part; nothing is sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyfl.errors import DataError

__all__ = ["Partitioner", "dirichlet", "iid", "parse", "pathological", "register"]

Parts = list[NDArray[np.int64]]
Divide = Callable[..., Parts]


class Partitioner(msgspec.Struct, frozen=True):
    """A registered way to divide, by name, with its arguments; prints as `name` or `name:argument:argument`."""

    name: str
    arguments: tuple[float, ...] = ()

    def __call__(self, labels: NDArray[Any], peers: int, index: int, seed: int) -> NDArray[np.int64]:
        """Sorted indices of peer `index`'s samples. Raises `DataError` for a peer that does not exist."""
        if not 0 <= index < peers:
            raise DataError(f"Peer {index} of {peers} does not exist; peers are counted from 0 to {peers - 1}.")
        return self.parts(labels, peers, seed)[index]

    def parts(self, labels: NDArray[Any], peers: int, seed: int) -> Parts:
        """All peers' sorted indices."""
        if peers < 1:
            raise DataError(f"Cannot divide among {peers} peers; at least one is needed.")
        if self.name not in _registered:
            raise DataError(f"There is no partitioner {self.name!r}; there are {_known()}.")
        divide = _registered[self.name]
        parts = divide(np.asarray(labels), peers, np.random.default_rng(seed), *self.arguments)
        return [np.sort(part) for part in parts]

    def __str__(self) -> str:
        """Print it as `parse` reads it."""
        return ":".join([self.name, *(repr(argument).removesuffix(".0") for argument in self.arguments)])


_registered: dict[str, Divide] = {}


def register(name: str) -> Callable[[Divide], Divide]:
    """Register `divide(labels, peers, draw, *arguments) -> list of index arrays` as a partitioner."""

    def add(divide: Divide) -> Divide:
        if name in _registered:
            raise DataError(f"A partitioner {name!r} is registered already; choose another name.")
        _registered[name] = divide
        return divide

    return add


def iid() -> Partitioner:
    """Deal samples at random, equally many to each peer, within one."""
    return Partitioner("iid")


def dirichlet(alpha: float) -> Partitioner:
    """Divide each class in proportions drawn from Dirichlet(alpha): the smaller alpha, the more the peers differ.

    Hsu, Qi and Brown, Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification,
    2019 (arXiv:1909.06335), in the form of NIID-Bench (Li et al., 2021, arXiv:2102.02079). A peer left without samples
    gets one from the peer that has most.
    """
    if not (alpha > 0 and math.isfinite(alpha)):
        raise DataError(f"dirichlet's alpha is {alpha}; expected a number above 0, such as 0.5.")
    return Partitioner("dirichlet", (float(alpha),))


def pathological(classes_per_peer: int) -> Partitioner:
    """Show each peer only so many classes; a class is divided equally among the peers that see it.

    After McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data, 2017
    (arXiv:1602.05629). Classes are dealt in turn, so that each is seen by someone once peers x classes_per_peer reach
    the number of classes; below that the classes that nobody sees are left out.
    """
    if not float(classes_per_peer).is_integer() or classes_per_peer < 1:
        raise DataError(
            f"pathological's classes per peer is {classes_per_peer}; expected a whole number of at least 1."
        )
    return Partitioner("pathological", (int(classes_per_peer),))


_constructors: dict[str, Callable[..., Partitioner]] = {
    "iid": iid,
    "dirichlet": dirichlet,
    "pathological": pathological,
}


def parse(text: str) -> Partitioner:
    """Read `iid`, `dirichlet:0.5`, `pathological:2` or a registered one. Raises `DataError` saying what is wrong."""
    name, *arguments = text.strip().split(":")
    if name not in _registered:
        raise DataError(f"There is no partitioner {name!r} in {text!r}; there are {_known()}.")
    try:
        numbers = tuple(float(argument) for argument in arguments)
    except ValueError as error:
        raise DataError(f"The arguments of partitioner {text!r} must be numbers, as in dirichlet:0.5.") from error
    construct = _constructors.get(name)
    if construct is None:
        return Partitioner(name, numbers)
    try:
        return construct(*numbers)
    except TypeError as error:
        raise DataError(
            f"Partitioner {name!r} takes other arguments than in {text!r}; as in iid, dirichlet:0.5, pathological:2."
        ) from error


def _known() -> str:
    return ", ".join(sorted(_registered))


@register("iid")
def _iid(labels: NDArray[Any], peers: int, draw: np.random.Generator) -> Parts:
    return np.array_split(draw.permutation(len(labels)), peers)


@register("dirichlet")
def _dirichlet(labels: NDArray[Any], peers: int, draw: np.random.Generator, alpha: float) -> Parts:
    parts: list[list[NDArray[np.int64]]] = [[] for _ in range(peers)]
    for label in np.unique(labels):
        members = draw.permutation(np.flatnonzero(labels == label))
        shares = draw.dirichlet(np.full(peers, alpha))
        if not np.all(np.isfinite(shares)):  # alpha so small that every gamma variate underflowed: all to one
            shares = np.eye(peers)[draw.integers(peers)]
        cuts = np.round(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
        for part, piece in zip(parts, np.split(members, cuts), strict=True):
            part.append(piece)
    whole = [np.concatenate(part) if part else np.empty(0, np.int64) for part in parts]
    for index in range(peers):
        richest = max(range(peers), key=lambda peer: len(whole[peer]))
        if len(whole[index]) == 0 and len(whole[richest]) > 1:
            whole[index], whole[richest] = whole[richest][-1:], whole[richest][:-1]
    return whole


@register("pathological")
def _pathological(labels: NDArray[Any], peers: int, draw: np.random.Generator, classes_per_peer: float) -> Parts:
    classes = draw.permutation(np.unique(labels))
    wanted = int(classes_per_peer)
    if wanted > len(classes):
        raise DataError(f"pathological:{wanted} asks for more classes a peer than the {len(classes)} there are.")
    # Dealt round and round: a peer's run of `wanted` places never holds a class twice.
    seen = [[(peer * wanted + place) % len(classes) for place in range(wanted)] for peer in range(peers)]
    parts: list[list[NDArray[np.int64]]] = [[] for _ in range(peers)]
    for place, label in enumerate(classes):
        viewers = [peer for peer in range(peers) if place in seen[peer]]
        if not viewers:
            continue
        members = draw.permutation(np.flatnonzero(labels == label))
        for peer, piece in zip(viewers, np.array_split(members, len(viewers)), strict=True):
            parts[peer].append(piece)
    return [np.concatenate(part) if part else np.empty(0, np.int64) for part in parts]

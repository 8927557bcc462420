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

__all__ = [
    "Partitioner",
    "dirichlet",
    "exponential",
    "iid",
    "linear",
    "natural",
    "parse",
    "pathological",
    "register",
    "shard",
    "size",
    "square",
]

Parts = list[NDArray[np.int64]]
Divide = Callable[..., Parts]


class Partitioner(msgspec.Struct, frozen=True):
    """A registered way to divide, by name, with its arguments; prints as `name` or `name:argument:argument`."""

    name: str
    arguments: tuple[float, ...] = ()

    def __call__(self, labels: NDArray[Any], peers: int, index: int, seed: int, groups: NDArray[Any] | None = None) -> NDArray[np.int64]:
        """Sorted indices of peer `index`'s samples. Raises `DataError` for a peer that does not exist."""
        if not 0 <= index < peers:
            raise DataError(f"Peer {index} of {peers} does not exist; peers are counted from 0 to {peers - 1}.")
        return self.parts(labels, peers, seed, groups)[index]

    def parts(self, labels: NDArray[Any], peers: int, seed: int, groups: NDArray[Any] | None = None) -> Parts:
        """All peers' sorted indices; none is empty.

        `groups` says where each sample comes from, for partitioners that divide by it. Raises `DataError`, also when there
        are too few samples for so many peers.
        """
        if peers < 1:
            raise DataError(f"Cannot divide among {peers} peers; at least one is needed.")
        if self.name not in _registered:
            raise DataError(f"There is no partitioner {self.name!r}; there are {_known()}.")
        labels = np.asarray(labels)
        if len(labels) < peers:
            raise DataError(
                f"There are fewer samples ({len(labels)}) than peers ({peers}); each peer needs one. Start fewer peers, or bring more data."
            )
        divide = _registered[self.name]
        draw = np.random.default_rng(seed)
        if self.name in _by_group:
            if groups is None:
                raise DataError(
                    f"Partitioner {self.name!r} divides by where samples come from, and this dataset does not say: give "
                    "Dataset(groups=...), or choose another partition."
                )
            parts = divide(np.asarray(groups), peers, draw, *self.arguments)
        else:
            parts = divide(labels, peers, draw, *self.arguments)
        empty = [peer for peer, part in enumerate(parts) if not len(part)]
        if empty:
            raise DataError(
                f"Partition {self} of {len(labels)} samples of {len(np.unique(labels))} classes leaves {len(empty)} of {peers} "
                f"peers without any, the first is peer {empty[0]}. Start fewer peers, or choose a partition that is less uneven."
            )
        return [np.sort(part) for part in parts]

    def __str__(self) -> str:
        """Print it as `parse` reads it."""
        return ":".join([self.name, *(repr(argument).removesuffix(".0") for argument in self.arguments)])


_registered: dict[str, Divide] = {}
_by_group: set[str] = set()


def register(name: str, *, by_group: bool = False) -> Callable[[Divide], Divide]:
    """Register `divide(labels, peers, draw, *arguments) -> list of index arrays` as a partitioner.

    `by_group`: it is given the samples' groups in place of their labels.
    """

    def add(divide: Divide) -> Divide:
        if name in _registered:
            raise DataError(f"A partitioner {name!r} is registered already; choose another name.")
        _registered[name] = divide
        if by_group:
            _by_group.add(name)
        return divide

    return add


def iid() -> Partitioner:
    """Deal samples at random, equally many to each peer, within one."""
    return Partitioner("iid")


def dirichlet(alpha: float, min_size: int = 1) -> Partitioner:
    """Divide each class in proportions drawn from Dirichlet(alpha): the smaller alpha, the more the peers differ.

    Hsu, Qi and Brown, Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification,
    2019 (arXiv:1909.06335), in the form of NIID-Bench (Li et al., 2021, arXiv:2102.02079). Who has fewer than `min_size`
    samples gets the rest from those that have most: drawing again until all have enough may never end.
    """
    if not (alpha > 0 and math.isfinite(alpha)):
        raise DataError(f"dirichlet's alpha is {alpha}; expected a number above 0, such as 0.5.")
    _whole("dirichlet's min_size", min_size)
    return Partitioner("dirichlet", (float(alpha),) if min_size == 1 else (float(alpha), int(min_size)))


def pathological(classes_per_peer: int) -> Partitioner:
    """Show each peer only so many classes; a class is divided equally among the peers that see it.

    After McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data, 2017
    (arXiv:1602.05629). Classes are dealt in turn, so that each is seen by someone once peers x classes_per_peer reach
    the number of classes; below that the classes that nobody sees are left out.
    """
    _whole("pathological's classes per peer", classes_per_peer)
    return Partitioner("pathological", (int(classes_per_peer),))


def shard(shards_per_peer: int) -> Partitioner:
    """Sort by class, cut into peers x shards_per_peer equal pieces, deal each peer so many: McMahan et al., 2017."""
    _whole("shard's shards per peer", shards_per_peer)
    return Partitioner("shard", (int(shards_per_peer),))


def linear() -> Partitioner:
    """Sizes in proportion to 1, 2, 3 ...; samples are dealt at random."""
    return Partitioner("linear")


def square() -> Partitioner:
    """Sizes in proportion to 1, 4, 9 ...; samples are dealt at random."""
    return Partitioner("square")


def exponential() -> Partitioner:
    """Sizes in proportion to e, e^2, e^3 ...; samples are dealt at random."""
    return Partitioner("exponential")


def size(*sizes: int) -> Partitioner:
    """As many samples as said, one number a peer, dealt at random; what is beyond their sum is left out."""
    for number in sizes:
        _whole("A size", number)
    return Partitioner("size", tuple(int(number) for number in sizes))


def natural() -> Partitioner:
    """Keep together what comes from one writer, device or hospital: `Dataset.groups` says which.

    Groups, in sorted order, are dealt in turn, so that each peer has its own whole when there are as many.
    """
    return Partitioner("natural")


def _whole(what: str, number: float) -> None:
    if not float(number).is_integer() or number < 1:
        raise DataError(f"{what} is {number}; expected a whole number of at least 1.")


_constructors: dict[str, Callable[..., Partitioner]] = {
    "iid": iid,
    "dirichlet": dirichlet,
    "pathological": pathological,
    "shard": shard,
    "linear": linear,
    "square": square,
    "exponential": exponential,
    "size": size,
    "natural": natural,
}
_EXAMPLES = "iid, dirichlet:0.5, dirichlet:0.5:10, pathological:2, shard:2, linear"


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
        raise DataError(f"Partitioner {name!r} takes other arguments than in {text!r}; as in {_EXAMPLES}.") from error


def _known() -> str:
    return ", ".join(sorted(_registered))


@register("iid")
def _iid(labels: NDArray[Any], peers: int, draw: np.random.Generator) -> Parts:
    return np.array_split(draw.permutation(len(labels)), peers)


@register("dirichlet")
def _dirichlet(labels: NDArray[Any], peers: int, draw: np.random.Generator, alpha: float, min_size: float = 1) -> Parts:
    least = int(min_size)
    if least * peers > len(labels):
        raise DataError(f"There are {len(labels)} samples; at least {least} for each of {peers} peers are {least * peers}.")
    parts: list[list[NDArray[np.int64]]] = [[] for _ in range(peers)]
    for label in np.unique(labels):
        members = draw.permutation(np.flatnonzero(labels == label))
        shares = draw.dirichlet(np.full(peers, alpha))
        if not np.all(np.isfinite(shares)):  # alpha so small that every gamma variate underflowed: all to one
            shares = np.eye(peers)[draw.integers(peers)]
        cuts = np.round(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
        for part, piece in zip(parts, np.split(members, cuts), strict=True):
            part.append(piece)
    whole = [np.concatenate(part) for part in parts]
    for index in range(peers):
        while len(whole[index]) < least:
            richest = max(range(peers), key=lambda peer: len(whole[peer]))
            given = min(least - len(whole[index]), len(whole[richest]) - least)
            whole[index] = np.concatenate([whole[index], whole[richest][-given:]])
            whole[richest] = whole[richest][:-given]
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
        if len(members) < len(viewers):
            raise DataError(
                f"Class {label.item()} has fewer samples ({len(members)}) than the {len(viewers)} peers that are to see it. Start "
                "fewer peers, show each fewer classes, or bring more data."
            )
        for peer, piece in zip(viewers, np.array_split(members, len(viewers)), strict=True):
            parts[peer].append(piece)
    return [np.concatenate(part) for part in parts]


@register("shard")
def _shard(labels: NDArray[Any], peers: int, draw: np.random.Generator, shards_per_peer: float) -> Parts:
    each = int(shards_per_peer)
    if each * peers > len(labels):
        raise DataError(f"There are fewer samples ({len(labels)}) than shards ({each} for each of {peers} peers).")
    shuffled = draw.permutation(len(labels))  # which samples of a class share a shard is left to chance
    shards: Parts = np.array_split(shuffled[np.argsort(labels[shuffled], kind="stable")], each * peers)
    dealt = draw.permutation(each * peers).reshape(peers, each)
    return [np.concatenate([shards[int(number)] for number in mine]) for mine in dealt]


def _deal(samples: int, weights: NDArray[np.float64], draw: np.random.Generator) -> Parts:
    """Deal at random in proportion to weights, to each at least one."""
    peers = len(weights)
    ends = np.round(np.cumsum(weights / weights.sum()) * (samples - peers)).astype(np.int64) + np.arange(1, peers + 1)
    return np.split(draw.permutation(samples), ends[:-1])


@register("linear")
def _linear(labels: NDArray[Any], peers: int, draw: np.random.Generator) -> Parts:
    return _deal(len(labels), np.arange(1.0, peers + 1), draw)


@register("square")
def _square(labels: NDArray[Any], peers: int, draw: np.random.Generator) -> Parts:
    return _deal(len(labels), np.arange(1.0, peers + 1) ** 2, draw)


@register("exponential")
def _exponential(labels: NDArray[Any], peers: int, draw: np.random.Generator) -> Parts:
    return _deal(len(labels), np.exp(np.arange(peers) - peers + 1.0), draw)


@register("size")
def _size(labels: NDArray[Any], peers: int, draw: np.random.Generator, *sizes: float) -> Parts:
    if len(sizes) != peers or sum(sizes) > len(labels):
        raise DataError(f"size gives {len(sizes)} sizes, {sum(sizes):.0f} in all; expected {peers}, at most {len(labels)} in all.")
    return np.split(draw.permutation(len(labels)), np.cumsum([int(number) for number in sizes]))[:peers]


@register("natural", by_group=True)
def _natural(groups: NDArray[Any], peers: int, draw: np.random.Generator) -> Parts:  # noqa: ARG001 - nothing is left to chance
    names, of_sample = np.unique(groups, return_inverse=True)
    if len(names) < peers:
        raise DataError(f"The samples come from {len(names)} groups, fewer than the {peers} peers. Start fewer peers.")
    return [np.flatnonzero(of_sample.reshape(-1) % peers == peer) for peer in range(peers)]

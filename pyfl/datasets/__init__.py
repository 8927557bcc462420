"""Datasets and how they are divided among peers."""

from pyfl.datasets.cifar10 import cifar10
from pyfl.datasets.dataset import Dataset
from pyfl.datasets.digits import digits
from pyfl.datasets.mnist import mnist
from pyfl.datasets.npz import images_from_npz
from pyfl.datasets.partitions import (
    Partitioner,
    dirichlet,
    exponential,
    iid,
    linear,
    natural,
    parse,
    pathological,
    register,
    shard,
    size,
    square,
)

__all__ = [
    "Dataset",
    "Partitioner",
    "cifar10",
    "digits",
    "dirichlet",
    "exponential",
    "iid",
    "images_from_npz",
    "linear",
    "mnist",
    "natural",
    "parse",
    "pathological",
    "register",
    "shard",
    "size",
    "square",
]

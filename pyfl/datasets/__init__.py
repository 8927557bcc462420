"""Datasets and how they are divided among peers."""

from pyfl.datasets.dataset import Dataset
from pyfl.datasets.digits import digits
from pyfl.datasets.partitions import Partitioner, dirichlet, iid, parse, pathological, register

__all__ = ["Dataset", "Partitioner", "digits", "dirichlet", "iid", "parse", "pathological", "register"]

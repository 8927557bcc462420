"""Combining client updates: exact fixed-point sums, and the server's step on their mean."""

from pyfl.aggregation.strategy import Strategy, register, strategies
from pyfl.aggregation.strategies import fedadam, fedavg, fedavgm

__all__ = ["Strategy", "fedadam", "fedavg", "fedavgm", "register", "strategies"]

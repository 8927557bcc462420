"""Combining client updates: exact fixed-point sums, and the server's step on their mean."""

from pyfl.aggregation.strategies import fedadam, fedavg, fedavgm
from pyfl.aggregation.strategy import Strategy, register, strategies

__all__ = ["Strategy", "fedadam", "fedavg", "fedavgm", "register", "strategies"]

"""The strategies, one file each."""

from pyfl.aggregation.strategies.fedadam import fedadam
from pyfl.aggregation.strategies.fedavg import fedavg
from pyfl.aggregation.strategies.fedavgm import fedavgm

__all__ = ["fedadam", "fedavg", "fedavgm"]

"""A deterministic network of simulated overlays: a virtual clock, a seed, and every fault that the design names."""

from .faults import FAULT_KINDS, NETWORK_FAULTS, PROGRAM_FAULTS, Fault, FaultPlan, Trigger
from .network import SimulatedNetwork
from .options import NetworkOptions
from .peer import SimulatedOverlay
from .scheduler import Timer

__all__ = [
    "FAULT_KINDS", "NETWORK_FAULTS", "PROGRAM_FAULTS", "Fault", "FaultPlan", "NetworkOptions", "SimulatedNetwork", "SimulatedOverlay",
    "Timer", "Trigger",
]  # fmt: skip

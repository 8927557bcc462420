"""Many peers in one process on the deterministic network: the same machine and driver as real peers, in virtual time."""

from pyfl.simulation.swarm import SimulatedPeer, SimulatedSwarm

__all__ = ["SimulatedPeer", "SimulatedSwarm"]

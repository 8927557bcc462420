"""How a fault strikes: at its time or its step, if that leaves what the promises need, and how it is taken back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .process import Process, State

if TYPE_CHECKING:
    from .faults import Fault
    from .network import SimulatedNetwork

__all__ = ["IT", "LEADER", "Striker"]

IT = "it"
"""In a fault, the peer whose step set it off."""
LEADER = "leader"
"""In a fault, whoever leads then."""


class Striker:
    """Does faults to one network. `keep_majority`: see `FaultPlan`."""

    __slots__ = ("_keep_majority", "_network")

    def __init__(self, network: SimulatedNetwork, *, keep_majority: bool) -> None:
        self._network = network
        self._keep_majority = keep_majority

    def arm(self, fault: Fault) -> None:
        """Let a fault strike when its time or its step comes."""
        trigger = fault.trigger
        if trigger is None:
            self._network.schedule(fault.at_s, partial(self._strike, fault, None))
        else:
            self._network.steps.strike(trigger.moment, trigger.step, trigger.count, trigger.peer, partial(self._at_step, fault))

    def _at_step(self, fault: Fault, process: Process) -> None:
        if fault.kind in ("kill", "restart", "wipe", "depose"):
            self._strike(fault, process)
        else:  # whatever leaves the process alive comes when it has done what it does
            self._network.schedule(0.0, partial(self._strike, fault, process))

    def _strike(self, fault: Fault, it: Process | None) -> None:
        network = self._network
        processes: list[Process] = []
        for name in fault.peers:
            if name == IT and it is not None:
                processes.append(it)
                continue
            overlay = network.leader if name == LEADER else network.overlay(name)
            if overlay is None:
                return self._skip(fault, "nobody leads")
            processes.append(overlay.process)
        if len({process.number for process in processes}) < len(fault.peers):
            return self._skip(fault, "it names a peer twice")
        if any(not process.running or process.leaving for process in processes):
            return self._skip(fault, "its peer does not run")
        if self._keep_majority and fault.kind in ("kill", "leave", "restart", "wipe", "stop", "disk"):
            reason = _majority_lost(network, processes[0], wipe=fault.kind == "wipe")
            if reason:
                return self._skip(fault, reason)
        return self._do(fault, processes)

    def _skip(self, fault: Fault, reason: str) -> None:
        self._network.fault_log.append((self._network.now, f"skipped '{fault}': {reason}"))

    def _do(self, fault: Fault, processes: list[Process]) -> None:
        network, names = self._network, [process.peer for process in processes]
        network.struck[fault.kind] += 1
        match fault.kind:
            case "kill" | "restart" | "wipe":
                network.kill(names[0])
                if fault.kind != "kill":
                    network.schedule(fault.after_s, partial(_restart, network, processes[0], fault.kind == "restart"))
            case "power":
                for overlay in network.alive:
                    network.kill(overlay.me)
                    network.returning.add(overlay.me)
                    network.schedule(fault.after_s, partial(_restart, network, overlay.process, True))
            case "leave":
                network.leave(names[0])
            case "stop":
                network.stop(names[0])
                network.schedule(fault.after_s, partial(_resume, network, processes[0]))
            case "reset":
                network.reset_link(*names)
            case "depose":
                network.depose_leader()
            case "cut" | "slow" | "partition" | "oneway":
                self._on_links(fault, names)
            case "drop" | "duplicate" | "reorder":
                self._on_messages(fault)
            case _:
                network.ailments(processes[0], fault)

    def _on_links(self, fault: Fault, names: list[str]) -> None:
        network, back = self._network, self._network.heal
        match fault.kind:
            case "cut":
                network.cut_link(*names)
                back = partial(network.heal, *names)
            case "slow":
                network.slow_link(names[0], names[1], fault.amount)
                back = partial(network.slow_link, names[0], names[1], 0.0)
            case "oneway":
                network.partition_one_way(*fault.groups)
            case _:
                network.partition(fault.groups)
        if fault.after_s:
            network.schedule(fault.after_s, back)

    def _on_messages(self, fault: Fault) -> None:
        network, back = self._network, self._network.disorder_messages
        match fault.kind:
            case "drop":
                network.drop_messages(fault.amount)
                back = partial(network.drop_messages, network.options.message_loss)
            case "duplicate":
                network.disorder_messages(duplicates=fault.amount)
            case _:
                network.disorder_messages(out_of_order=fault.amount)
        if fault.after_s:
            network.schedule(fault.after_s, back)


def _majority_lost(network: SimulatedNetwork, target: Process, *, wipe: bool) -> str:
    """Why a target must be spared, or nothing."""
    raft = network.ledger.raft
    up = [disk for disk in raft.voters if (holder := raft.holder(disk)) is not None and holder is not target]
    if 2 * len(up) <= len(raft.voters):
        return "it would take the committee's majority"
    if wipe and target.disk in raft.voters:
        whole = [disk for disk in raft.voters if disk is not target.disk and network.process_of(disk.peer).disk is disk]
        if 2 * len(whole) <= len(raft.voters):
            return "it would take the majority of the committee's disks"
    running = [overlay for overlay in network.overlays if overlay.process.running and overlay.process is not target]
    return "" if 2 * len(running) > len(network.overlays) else "it would take the peers' majority"


def _restart(network: SimulatedNetwork, process: Process, keep_disk: bool) -> None:
    network.returning.discard(process.peer)
    # Somebody else may have restarted it meanwhile.
    if network.process_of(process.peer) is process:
        network.restart(process.peer, keep_disk=keep_disk)


def _resume(network: SimulatedNetwork, process: Process) -> None:
    if network.process_of(process.peer) is process and process.state is State.STOPPED:
        network.resume(process.peer)

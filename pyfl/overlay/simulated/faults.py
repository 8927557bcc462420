"""Faults as data: drawn from a seed, printed as text, read back, and applied to a network at their times."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from .process import Process, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .network import SimulatedNetwork
    from .peer import SimulatedOverlay

__all__ = ["FAULT_KINDS", "Fault", "FaultPlan"]

FAULT_KINDS = ("kill", "restart", "wipe", "stop", "cut", "reset", "partition", "depose", "drop", "leave")
"""What `FaultPlan.random` draws: `kill` is for good, `restart` kills and starts with the disk, `wipe` without it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `at 1.250 restart peer-2 after 3.000`.

    kind: one of `FAULT_KINDS`. peers: names; `leader` stands for whoever leads then. after_s: until it is taken back
    (restarted, resumed, healed); 0 for never. groups: of a partition. probability: of a drop.
    """

    at_s: float
    kind: str
    peers: tuple[str, ...] = ()
    after_s: float = 0.0
    groups: tuple[tuple[str, ...], ...] = ()
    probability: float = 0.0

    def __str__(self) -> str:
        words = [f"at {self.at_s:.3f} {self.kind}", *self.peers]
        if self.groups:
            words.append(" | ".join(" ".join(group) for group in self.groups))
        if self.kind == "drop":
            words.append(f"{self.probability:.3f}")
        if self.after_s:
            words.append(f"after {self.after_s:.3f}")
        return " ".join(words)

    @classmethod
    def parse(cls, line: str) -> Fault:
        """Read what `str` wrote. Raises ValueError with the line."""
        words = line.split()
        if len(words) < 3 or words[0] != "at" or words[2] not in FAULT_KINDS:
            raise ValueError(f"expected 'at SECONDS KIND ...' with a kind of {', '.join(FAULT_KINDS)}, got {line!r}")
        at_s, kind, rest, after_s = float(words[1]), words[2], words[3:], 0.0
        if len(rest) >= 2 and rest[-2] == "after":
            after_s, rest = float(rest[-1]), rest[:-2]
        if kind == "partition":
            groups = tuple(tuple(group.split()) for group in " ".join(rest).split("|"))
            return cls(at_s, kind, after_s=after_s, groups=groups)
        if kind == "drop":
            return cls(at_s, kind, after_s=after_s, probability=float(rest[0]))
        return cls(at_s, kind, tuple(rest), after_s)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Timed faults. `str(plan)` is one line each; `parse` reads them back, so a failing seed becomes a scenario.

    keep_majority: skip what would leave the committee, or the peers that were ever added, without a running majority
    (I2 promises nothing then), or would wipe most of the committee's disks; what is skipped is told in
    `network.fault_log`.
    """

    faults: tuple[Fault, ...]
    keep_majority: bool = True

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)

    @classmethod
    def parse(cls, text: str, *, keep_majority: bool = True) -> FaultPlan:
        """Read faults, one a line; empty lines and those that start with # are skipped. Raises ValueError."""
        lines = [line.strip() for line in text.splitlines()]
        return cls(tuple(Fault.parse(line) for line in lines if line and line[0] != "#"), keep_majority)

    @classmethod
    def random(
        cls,
        seed: int,
        peers: Sequence[str | SimulatedOverlay],
        horizon_s: float,
        kinds: Sequence[str] = FAULT_KINDS,
        *,
        count: int | None = None,
    ) -> FaultPlan:
        """Draw faults within `horizon_s` seconds: by default one to six of them.

        All is taken back but kills and leaves, which together take less than half of the peers.
        """
        rng = random.Random(seed)  # noqa: S311 - a simulation must be repeatable
        names = [peer if isinstance(peer, str) else peer.name for peer in peers]
        unknown = set(kinds) - set(FAULT_KINDS)
        if unknown:
            raise ValueError(f"unknown kinds of fault {sorted(unknown)}; there are {', '.join(FAULT_KINDS)}")
        spare = (len(names) - 1) // 2
        faults: list[Fault] = []
        for _ in range(rng.randint(1, 6) if count is None else count):
            kind = rng.choice(list(kinds))
            at_s = round(rng.uniform(0.0, horizon_s), 3)
            # Short ones are often not noticed at all, which is a story of its own.
            after_s = round(rng.choice((rng.uniform(0.01, 0.5), rng.uniform(0.5, 5.0), rng.uniform(5.0, 20.0))), 3)
            target = "leader" if rng.random() < 0.3 else rng.choice(names)
            if kind in ("kill", "leave"):
                if spare == 0:
                    continue
                spare -= 1
                faults.append(Fault(at_s, kind, (target,)))
            elif kind in ("restart", "wipe", "stop"):
                faults.append(Fault(at_s, kind, (target,), after_s))
            elif kind in ("cut", "reset") and len(names) > 1:
                a, b = rng.sample(names, 2)
                lasts_s = after_s if kind == "cut" else 0.0
                faults.append(Fault(at_s, kind, ("leader" if rng.random() < 0.2 else a, b), lasts_s))
            elif kind == "partition" and len(names) > 1:
                shuffled = rng.sample(names, len(names))
                place = rng.randint(1, len(names) - 1)
                groups = (tuple(shuffled[:place]), tuple(shuffled[place:]))
                faults.append(Fault(at_s, kind, (), after_s, groups))
            elif kind == "depose":
                faults.append(Fault(at_s, kind))
            elif kind == "drop":
                faults.append(Fault(at_s, kind, (), after_s, (), round(rng.uniform(0.02, 0.5), 3)))
        return cls(tuple(sorted(faults, key=lambda fault: fault.at_s)))

    def apply(self, network: SimulatedNetwork) -> None:
        """Schedule every fault; times count from now."""
        for fault in self.faults:
            network.schedule(fault.at_s, partial(self._do, network, fault))

    def _do(self, network: SimulatedNetwork, fault: Fault) -> None:
        processes: list[Process] = []
        for name in fault.peers:
            overlay = network.leader if name == "leader" else network.overlay(name)
            if overlay is None:
                return _skip(network, fault, "nobody leads")
            processes.append(overlay.process)
        if len({process.number for process in processes}) < len(fault.peers):
            return _skip(network, fault, "it names a peer twice")
        if any(not process.running or process.leaving for process in processes):
            return _skip(network, fault, "its peer does not run")
        kind = fault.kind
        if self.keep_majority and kind in ("kill", "leave", "restart", "wipe", "stop"):
            reason = _majority_lost(network, processes[0], wipe=kind == "wipe")
            if reason:
                return _skip(network, fault, reason)
        names = [process.peer for process in processes]
        if kind in ("kill", "restart", "wipe"):
            network.kill(names[0])
            if kind != "kill":
                network.schedule(fault.after_s, partial(_restart, network, processes[0], kind == "restart"))
        elif kind == "leave":
            network.leave(names[0])
        elif kind == "stop":
            network.stop(names[0])
            network.schedule(fault.after_s, partial(_resume, network, processes[0]))
        elif kind == "cut":
            network.cut_link(*names)
            if fault.after_s:
                network.schedule(fault.after_s, partial(network.heal, *names))
        elif kind == "reset":
            network.reset_link(*names)
        elif kind == "partition":
            network.partition(fault.groups)
            if fault.after_s:
                network.schedule(fault.after_s, network.heal)
        elif kind == "depose":
            network.depose_leader()
        elif kind == "drop":
            network.drop_messages(fault.probability)
            if fault.after_s:
                network.schedule(fault.after_s, partial(network.drop_messages, 0.0))
        return None


def _skip(network: SimulatedNetwork, fault: Fault, reason: str) -> None:
    network.fault_log.append((network.now, f"skipped '{fault}': {reason}"))


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
    # Somebody else may have restarted it meanwhile.
    if network.process_of(process.peer) is process:
        network.restart(process.peer, keep_disk=keep_disk)


def _resume(network: SimulatedNetwork, process: Process) -> None:
    if network.process_of(process.peer) is process and process.state is State.STOPPED:
        network.resume(process.peer)

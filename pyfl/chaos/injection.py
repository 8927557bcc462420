"""How each fault is done to real processes, and how it ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyfl.chaos.chronicle import Chronicle
from pyfl.chaos.plan import Planned
from pyfl.chaos.process import ChaosPeer
from pyfl.chaos.stage import Stage

__all__ = ["Injected", "Injector"]

RESTART_S = 1.5
"""A killed peer is started again within so long."""


@dataclass
class Injected:
    """One fault as it was done. Times in monotonic seconds; `ended` when all of it was taken back, None before."""

    number: int
    planned: Planned
    round: int
    phase: str
    victims: tuple[int, ...]
    ids: frozenset[str]
    """The ids of the victims when they were hit."""
    coordinator: bool
    """Whether the coordinator was hit."""
    at: float
    committed_before: int
    ended: float | None = None
    target_round: int = 0
    """The newest committed round when it ended: who holds it is back."""
    what: str = ""
    cut_at: float = 0.0
    """When the last of its links was cut."""


class Injector:
    """Acts at once; ends are due later, in `end_due`."""

    def __init__(self, stage: Stage, chronicle: Chronicle, lasts_s: float, heal_after_s: float | None = None) -> None:
        """`lasts_s`: how long a stop, a partition, a full disk last at most; a third of it at least.

        `heal_after_s`: how long faults of the network last instead.
        """
        self._stage, self._chronicle, self._lasts_s, self._heal_after_s = stage, chronicle, lasts_s, heal_after_s
        self._due: list[tuple[float, Injected, Callable[[], object]]] = []

    @property
    def active(self) -> list[Injected]:
        """Faults that have not ended."""
        return [injected for _, injected, _ in self._due]

    def inject(self, injected: Injected) -> None:
        """Do it."""
        planned, now, network = injected.planned, injected.at, self._stage.network
        restart = now + planned.lasts * RESTART_S
        last = now + self._lasts_s * (1 + 2 * planned.lasts) / 3
        victims = [self._stage.peers[index] for index in injected.victims]
        match planned.kind:
            case "kill" | "power" | "wipe":
                for peer in victims:
                    peer.signal(signal.SIGKILL)
                self._later(restart, injected, lambda: self._restart(victims, planned.shape))
            case "stop":
                for peer in victims:
                    peer.signal(signal.SIGSTOP)
                self._later(last, injected, lambda: [peer.signal(signal.SIGCONT) for peer in victims])
            case "disk":
                disks = self._stage.disks
                if disks is None:
                    raise AssertionError("a disk fault was planned without disks")
                for peer in victims:
                    disks.fill(peer)
                self._later(last, injected, lambda: [disks.free(peer) for peer in victims])
            case _:
                self._break_network(injected)
                self._later(last if self._heal_after_s is None else injected.cut_at + self._heal_after_s, injected, network.heal)

    def _later(self, when: float, injected: Injected, act: Callable[[], object]) -> None:
        self._due.append((when, injected, act))

    def _restart(self, victims: Sequence[ChaosPeer], wipe: str = "") -> None:
        for peer in victims:
            for event in peer.kill():
                self._chronicle.take(peer.index, event)
            if wipe:
                peer.wipe(new_identity=wipe == "new identity")
            self._stage.again(peer, wiped=bool(wipe))

    def _break_network(self, injected: Injected) -> None:
        planned, victims = injected.planned, set(injected.victims)
        everyone, network = range(len(self._stage.peers)), self._stage.network
        if planned.kind == "slow":
            bits = int(10 ** (6 + planned.pick)) * 2
            injected.what = f"{bits / 1e6:.1f} Mbit/s"
            for index in victims:
                network.slow(index, bits)
            injected.cut_at = time.monotonic()
            return
        if planned.kind == "link":
            first, second = injected.victims
            pairs = [(first, second)]
        else:
            pairs = [(a, b) for a in victims for b in everyone if b not in victims]
        for a, b in pairs:
            network.cut(a, b)
            if planned.shape != "one-way":
                network.cut(b, a)
        injected.cut_at = time.monotonic()
        injected.what = planned.shape

    def end_due(self, now: float) -> list[Injected]:
        """Take back what has lasted long enough; returns the faults that this ended."""
        due = [entry for entry in self._due if entry[0] <= now]
        self._due = [entry for entry in self._due if entry[0] > now]
        for _, injected, act in due:
            act()
            injected.ended, injected.target_round = now, self._chronicle.committed
        return [injected for _, injected, _ in due]

    def end_all(self, now: float) -> list[Injected]:
        """Take back everything."""
        self._due = [(now, injected, act) for _, injected, act in self._due]
        return self.end_due(now)

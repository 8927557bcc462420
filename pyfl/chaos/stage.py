"""All that a chaos run makes: peers, the network between them, their disks. Everything is gone when it is left, whatever happened."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from pyfl.chaos.disks import Disks
from pyfl.chaos.namespaces import Namespaces, permitted
from pyfl.chaos.network import Loopback, Network
from pyfl.chaos.plan import NETWORK_KINDS
from pyfl.chaos.process import ChaosPeer
from pyfl.chaos.settings import ChaosSettings
from pyfl.errors import ChaosError
from pyfl.events import Stamped
from pyfl.peer.swarm_key import new_swarm_key, write_secret

__all__ = ["Stage"]

KEPT_MODELS = 8
ROOM_BYTES = 48 * 1024 * 1024
"""For the ledger, the journal and whatever else is written beside checkpoints."""


class Stage:
    """Entering makes it and starts nobody yet. Raises `ChaosError` when a fault that is wanted cannot be done here."""

    def __init__(self, settings: ChaosSettings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._network: Network | None = None
        self.disks: Disks | None = None
        self.peers: list[ChaosPeer] = []

    def __enter__(self) -> Self:
        settings = self._settings
        directory = settings.directory
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.glob("peer-*")):
            raise ChaosError(f"{directory} has peers of an earlier run. Name another --dir, or remove them.")
        try:
            self._network = self._stack.enter_context(self._choose_network())
            if "disk" in settings.faults:
                size = ROOM_BYTES + KEPT_MODELS * round(settings.mb * 1e6)
                places = [directory / f"peer-{index}" for index in range(settings.peers)]
                self.disks = self._stack.enter_context(Disks(places, size))
            write_secret(directory / "swarm.key", new_swarm_key() + "\n")
            self.peers = [self._peer(index) for index in range(settings.peers)]
            self._stack.callback(self._end_all)
        except BaseException:  # also Ctrl-C: what was made is removed
            self._stack.close()
            raise
        return self

    @property
    def network(self) -> Network:
        """What lies between the peers."""
        if self._network is None:
            raise AssertionError("the stage has not been entered")
        return self._network

    def _choose_network(self) -> Network:
        peers, wanted = self._settings.peers, NETWORK_KINDS & set(self._settings.faults)
        if not wanted:
            return Loopback(peers)
        why = permitted()
        if why:
            raise ChaosError(
                f"--faults {','.join(sorted(wanted))} needs network namespaces, and {why}. Run it as root on Linux, or leave these out."
            )
        return Namespaces(peers)

    def _peer(self, index: int) -> ChaosPeer:
        settings, network = self._settings, self.network
        own = [
            "--listen", network.address(index), "--data-dir", f"peer-{index}", "--name", f"peer-{index}", "--swarm-key", "swarm.key",
            "--index", str(index), "--of", str(settings.peers), "--app", settings.app_text, "--durability", settings.durability, "--stay",
        ]  # fmt: skip
        if index == 0:
            own += ["--rounds", str(settings.rounds), "--min-peers", str(settings.peers), "--strategy", settings.strategy]
        else:
            own += ["--join", network.address(0)]
        return ChaosPeer(index, settings.directory, network.inside(index), own)

    def again(self, peer: ChaosPeer, *, wiped: bool) -> None:
        """Start a peer again. A wiped one has forgotten whom it met, and is told all of them."""
        others = [self.network.address(index) for index in range(len(self.peers)) if index != peer.index]
        peer.start(*([word for address in others for word in ("--join", address)] if wiped else ()))

    def listen(self, timeout_s: float) -> Iterator[tuple[ChaosPeer, Stamped]]:
        """What peers say now; waits up to `timeout_s` for the first word."""
        outputs = {peer.output: peer for peer in self.peers if peer.output is not None}
        for descriptor in select.select(list(outputs), [], [], timeout_s)[0]:
            peer = outputs[descriptor]
            for event in peer.read():
                yield peer, event

    def _end_all(self) -> None:
        for peer in self.peers:
            peer.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

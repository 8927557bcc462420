"""A `PeerHandle` without a peer behind it: a journal that tests write to, and fixed snapshots."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec
import numpy as np

from pyfl.apps import App
from pyfl.checkpoints import Saved
from pyfl.errors import AppError, ControlError, NotCommittedYet
from pyfl.events import ObservedEvent, Stamped
from pyfl.peer.held_model import HeldModel
from pyfl.peer.journal import Journal
from pyfl.peer.status import Local, PeerEntry, Resources, RoundEntry, Status, TrainedRound
from pyfl.training.layout import Layout, TensorSpec
from pyfl.wire import digests

ME, OTHER = "a" * 32, "b" * 32
LAYOUT = Layout((TensorSpec("dense/kernel", (2, 3)), TensorSpec("dense/bias", (3,))))


class FakePeer:
    """Fixed snapshots and a journal; `controlled` has the commands that were given."""

    def __init__(self, have: int = 3, app: App | None = None) -> None:
        self.journal, self.app = Journal(None, ME), app
        self.controlled: list[tuple[str, str]] = []
        self.followed = threading.Event()
        self._status = Status(
            peer=ME, name="otter", address="127.0.0.1:7700", version="1", run="cafe", app="digits", rounds=10, round=4, epoch=2,
            phase="train", have=have, digest="d" * 64, accuracy=0.875, loss=0.5, coordinator=OTHER, voters=(ME, OTHER), parameters=1234,
            waiting="" if have >= 0 else "for model 0", uptime_s=1.5, counters={"sent_bytes_total": 7.0, "inbox-depth": 2.0, "peers": 1.0},
        )  # fmt: skip

    def now(self, **changed: object) -> None:
        """Change the status."""
        self._status = msgspec.structs.replace(self._status, **changed)

    def status(self) -> Status:
        return self._status

    def peers(self) -> list[PeerEntry]:
        return [
            PeerEntry(ME, "otter", "127.0.0.1:7700", me=True, voter=True, phase="training", have=3, samples=240),
            PeerEntry(OTHER, "heron", "127.0.0.1:7701", coordinator=True, voter=True, phase="training", have=3),
        ]

    def rounds(self) -> list[RoundEntry]:
        return [RoundEntry(3, 1, "d" * 64, "e" * 64, (ME, OTHER), accuracy=0.875, loss=0.5, train_s=0.25, reduce_s=0.125)]

    def tree(self, segment: int) -> dict[str, object]:
        if segment > 1:
            raise ControlError(f"Segment {segment} does not exist; the model has segments 0 to 1.")
        return {"segment": segment, "root": ME, "parent": {OTHER: ME}}

    def events(self, last: int, timeout_s: float) -> list[Stamped]:
        return self.journal.since(last, timeout_s)

    def watch(self, ring: Callable[[], None]) -> Callable[[], None]:
        end = self.journal.watch(ring)
        self.followed.set()
        return end

    def local(self) -> Local:
        return Local(ME, "otter", {"0": 3, "1": 0}, (TrainedRound(3, 240, 0.5, 0.5, True, 480.0),), Resources(1, 0.5, 7, 8))

    def model(self) -> HeldModel:
        if self._status.have < 1:
            raise NotCommittedYet("No round has been committed yet.")
        weights = np.arange(LAYOUT.size, dtype=np.float32)
        digest = digests.combine(digests.of_vector(weights))
        saved = Saved("cafe", LAYOUT.digest, self._status.have, 0, digest, "", app="linear", options={"rate": "0.1"})
        return HeldModel(saved, LAYOUT, weights, self.its_app)

    def its_app(self) -> App:
        if self.app is None:
            raise AppError("Run cafe trains a model that was handed over as an object.")
        return self.app

    def control(self, command: str, argument: str = "") -> str:
        if command == "dance":
            raise ControlError("Command 'dance' is not known; expected pause, resume, leave, kick or stop.")
        self.controlled.append((command, argument))
        return f"{command} it is."

    def tell(self, event: ObservedEvent) -> Stamped:
        return self.journal.record(event)

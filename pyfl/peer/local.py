"""What only this peer knows of itself: the classes in its data, what its trainings gave, what its process uses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pyfl.errors import AppError
from pyfl.events import RoundCommitted, TrainingEnded
from pyfl.peer.journal import Journal
from pyfl.peer.resources import cpu_seconds, resident_bytes
from pyfl.peer.status import Local, Resources, TrainedRound

if TYPE_CHECKING:
    from pyfl.apps import App
    from pyfl.training.trainer import FlatTrainer

__all__ = ["LocalView", "named_counts"]

REMEMBERED = 1000  # rounds


class LocalView:
    """Follows a journal. `refresh` belongs to one thread; the rest may be called by any."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._last = 0
        self._trained: deque[TrainedRound] = deque(maxlen=REMEMBERED)
        self._classes: tuple[object, dict[str, int]] = (None, {})
        self.committed_at: float | None = None
        """When the last commit was seen here, Unix time."""
        self.refresh()

    @property
    def samples(self) -> int:
        """Of the last training; 0 before it."""
        return self._trained[-1].samples if self._trained else 0

    def refresh(self) -> None:
        """Take in what was recorded since."""
        for event in self._journal.since(self._last):
            self._last = event.id
            match event.data:
                case TrainingEnded() as ended:
                    speed = ended.samples / ended.train_s if ended.train_s > 0 else 0.0
                    self._trained.append(TrainedRound(ended.round, ended.samples, ended.loss, ended.train_s, ended.finite, speed))
                case RoundCommitted():
                    self.committed_at = event.time
                case _:
                    pass

    def told(
        self, peer: str, name: str, trainer: FlatTrainer | None, app: Callable[[], App] | None, counters: Mapping[str, float]
    ) -> Local:
        """The answer of `/v1/local`."""
        used = Resources(
            resident_bytes()[0], cpu_seconds(), int(counters.get("bytes_sent", 0)), int(counters.get("bytes_received", 0))
        )  # fmt: skip
        return Local(peer, name, self._counted(trainer, app), tuple(self._trained.copy()), used)

    def _counted(self, trainer: FlatTrainer | None, app: Callable[[], App] | None) -> dict[str, int]:
        known, counted = self._classes
        if trainer is None or trainer is known:
            return counted
        counts: Mapping[int, int] = getattr(trainer, "label_counts", {})
        counted = named_counts(counts, _class_names(app) if counts else ())
        self._classes = (trainer, counted)
        return counted


def _class_names(app: Callable[[], App] | None) -> Sequence[str]:
    try:
        images = app().images if app else None
    except AppError:  # a model that was handed over as an object has no app that could name its classes
        return ()
    return images.classes if images else ()


def named_counts(counts: Mapping[int, int], names: Sequence[str]) -> dict[str, int]:
    """Counts by class name, classes without a sample included; a label without a name is called by its number."""
    if not counts:
        return {}
    labels = range(max(len(names), max(counts) + 1))
    return {names[label] if label < len(names) else str(label): counts.get(label, 0) for label in labels}

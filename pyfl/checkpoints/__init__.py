"""Models on disk: committed checkpoints, and results staged before they count."""

from pyfl.checkpoints.best import BestMark
from pyfl.checkpoints.reading import best_checkpoint, newest_checkpoint, read_checkpoint
from pyfl.checkpoints.store import CheckpointStore, Saved

__all__ = ["BestMark", "CheckpointStore", "Saved", "best_checkpoint", "newest_checkpoint", "read_checkpoint"]

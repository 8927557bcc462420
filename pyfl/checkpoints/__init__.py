"""Models on disk: committed checkpoints, and results staged before they count."""

from pyfl.checkpoints.reading import newest_checkpoint, read_checkpoint
from pyfl.checkpoints.store import CheckpointStore, Saved

__all__ = ["CheckpointStore", "Saved", "newest_checkpoint", "read_checkpoint"]

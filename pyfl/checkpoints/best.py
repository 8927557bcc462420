"""Which of a peer's checkpoints is the swarm's best round: `best.json` beside them names it, and pruning leaves that one."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pyfl.errors import CheckpointError

__all__ = ["BEST", "BestMark", "checkpoint_name", "read_mark"]

BEST = "best.json"


class BestMark(msgspec.Struct, frozen=True):
    """The best committed round of a run so far. Its model need not be here: a peer that joined after that round never had it."""

    run: str
    round: int
    model: str
    """Its digest."""
    measure: str
    """accuracy, held-out loss or training loss, over the whole swarm."""
    value: float


def checkpoint_name(number: int) -> str:
    """A committed round's files are named so, before their endings."""
    return f"round-{number:06d}"


def read_mark(directory: Path) -> BestMark | None:
    """The mark among a peer's checkpoints; None: no round was measured yet. Raises `CheckpointError` when it cannot be read."""
    path = directory / BEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=BestMark)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}. It names the best round; the peer writes it again when it runs, or name a --checkpoint."
        ) from error

"""The table of committed rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyfl.peer.status import RoundEntry

__all__ = ["round_table"]


def round_table(rounds: Sequence[RoundEntry], names: Mapping[str, str]) -> dict[str, list[object]]:
    """Columns by their headings, the newest round first."""
    newest = sorted(rounds, key=lambda entry: entry.round, reverse=True)
    return {
        "Round": [entry.round for entry in newest],
        "Accuracy": [None if entry.accuracy is None else entry.accuracy * 100 for entry in newest],
        "Loss": [entry.loss for entry in newest],
        "Updates": [len(entry.contributors) for entry in newest],
        "Contributors": [_who(entry, names) for entry in newest],
        "Epoch": [entry.epoch for entry in newest],
        "Training": [entry.train_s for entry in newest],
        "Adding up": [entry.reduce_s for entry in newest],
        "Digest": [entry.model[:12] for entry in newest],
    }


def _who(entry: RoundEntry, names: Mapping[str, str]) -> list[str]:
    if entry.void:
        return ["void: the model stays"]
    if entry.round == 0 and not entry.contributors:
        return ["the founder's model"]
    return sorted(names.get(peer, peer[:8]) for peer in entry.contributors)

"""Peers that still fetch the model when a round opens: the round waits for them, for two rounds in a row at most.

Without, a peer whose fetching takes longer than a round would chase the newest model for as long as the others go on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pyfl.rounds.roster import Roster

__all__ = ["Arrivals"]

OPENINGS = 2  # in a row; a line too slow for this is too slow to train with


@dataclass(slots=True)
class Arrivals:
    """Mutable; belongs to one leadership."""

    awaited: dict[str, int] = field(default_factory=dict[str, int])
    """By peer at how many openings in a row it was waited for. Forgotten when it has caught up, or is not here."""

    def expected(self, roster: Roster, number: int) -> set[str]:
        """Those that fetch the model of the round just committed, or an older one, and are still waited for."""
        return {p for p in roster.fetching(number) if self.awaited.get(p, 0) < OPENINGS}

    def opened(self, behind: set[str], awaited: set[str]) -> None:
        """A round was opened that waits for these."""
        self.awaited = {p: count for p, count in self.awaited.items() if p in behind}
        for peer in awaited:
            self.awaited[peer] = self.awaited.get(peer, 0) + 1

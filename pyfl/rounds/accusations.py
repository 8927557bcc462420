"""Accused links: which of them are broken, once both ends had the time to be heard of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyfl.rounds.roster import Roster

__all__ = ["Accusations", "worst"]

LINK_S = 2.5  # both ends of a broken link must be heard of within this time after the accusation


@dataclass(slots=True)
class Accusations:
    """Those of the present epoch of a reduce. Mutable."""

    roster: Roster
    _since: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    def add(self, accuser: str, accused: str) -> None:
        """A member could not exchange a segment with another."""
        self._since.setdefault((accuser, accused), self.roster.view.now)

    def clear(self) -> None:
        """Another epoch, or phase."""
        self._since.clear()

    def broken(self, slots: Mapping[str, int], alive: set[str]) -> set[tuple[int, int]]:
        """Accused links whose two ends were both heard of since, or had the time to be; one dead end is a removal instead."""
        now = self.roster.view.now
        found: set[tuple[int, int]] = set()
        for (a, b), since in list(self._since.items()):
            if not {a, b} <= alive & slots.keys():
                del self._since[a, b]
            elif now - since >= LINK_S or all(self._heard_since(p, since) for p in (a, b)):
                found.add((min(slots[a], slots[b]), max(slots[a], slots[b])))
        return found

    def _heard_since(self, peer: str, since: float) -> bool:
        return peer == self.roster.view.me or self.roster.heard.get(peer, 0.0) > since


def worst(links: set[tuple[int, int]]) -> int | None:
    """The slot that has two or more of these links, and more than any other; None if there is none such."""
    counts = Counter(slot for pair in links for slot in pair).most_common(2)
    (slot, most), *others = counts or [(-1, 0)]
    return slot if most >= 2 and (not others or others[0][1] < most) else None

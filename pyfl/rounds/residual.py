"""What becomes of an update that its round did not count: it goes into the peer's next update, once, or nowhere.

An update is followed from the end of its training to the next training, which needs its memory. Then the history says whether its round
listed this peer: if so, or if the history no longer reaches back, the update is dropped; if provably not, it is the residual of the next
round. A restart drops it as well. So it is counted once or not at all, and nothing of it has to be on disk.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyfl.rounds.actions import Trained
from pyfl.rounds.records import PREPARATION
from pyfl.rounds.view import View

__all__ = ["Residual"]


@dataclass(slots=True)
class Residual:
    """The update that lies in the contribution's memory. Rounds begin at 1, so that 0 is none."""

    view: View
    _update: int = 0
    """Its round."""
    _brings: int = 0
    """The round of the old update that is in it already."""

    def next(self) -> int:
        """A training begins, in the memory where the update is: the round of the update to be set aside for it, 0 for none."""
        update, brings = self._update, self._brings
        self._update = self._brings = 0
        run = self.view.run
        # an update that brought an old one and was not counted either is dropped with it: never more than one old update
        return update if update and not brings and run is not None and run.residuals and self._not_counted(update) else 0

    def _not_counted(self, number: int) -> bool:
        """Its round is committed, and without this peer. A void round counts nobody, and everyone trains again from the same model."""
        entry = next((r for r in self.view.history.rounds if r.round == number), None)
        return entry is not None and not entry.void and self.view.me not in entry.contributors

    def trained(self, trained: Trained, *, spoiled: bool) -> None:
        """A training ended. `spoiled`: the model that it started from was written over meanwhile, so that the update means nothing."""
        ready = trained.ready
        if trained.round > PREPARATION and not spoiled and ready is not None and ready.finite:
            self._update, self._brings = trained.round, ready.residual
        else:
            self._update, self._brings = trained.residual, 0

"""A herd of peers followed to its end: what each life told, restarts, and a watchdog."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pyfl import events
from pyfl.events import Stamped
from pyfl.peer.herd import Herd
from pyfl.peer.settings import PeerSettings
from tests.real.swarms import Story, settings_for

__all__ = ["STRIDE", "Run", "herd_of"]

STRIDE = 64
APP = f"onehot:size=4MB,stride={STRIDE},train_s=0.3"
LIMIT_S = 75.0  # a watchdog, not a claim


class Run:
    """A herd and its story; restarted peers keep their index in the story under which they began."""

    def __init__(self, herd: Herd, settings: list[PeerSettings], limit_s: float = LIMIT_S) -> None:
        self.herd, self.settings, self.story = herd, settings, Story()
        self.told: dict[int, list[Stamped]] = {}
        """By the herd's index: a life."""
        self.life = {index: index for index in range(len(settings))}
        """The present life of each peer."""
        self._place = dict(self.life)
        self._limit_s, self._deadline = limit_s, time.monotonic() + limit_s

    def restart(self, index: int) -> int:
        """Start a peer again with the settings it had, once its killed life has given back its port; returns its new life."""
        self.until(lambda: self.herd.endings[self.life[index]] is not None, f"peer {index} is dead")
        life = self.herd.start(self.settings[index])
        self.life[index], self._place[life] = life, index
        return life

    def until(self, reached: Callable[[], bool], what: str) -> None:
        """Take events in until it is so."""
        if reached():
            return
        for item in self.herd.events(max(0.0, self._deadline - time.monotonic())):
            self._take(item)
            if reached():
                return
        if reached():  # the last one's end is no event
            return
        raise AssertionError(f"not reached in {self._limit_s:g} s: {what}\n{self.where()}")

    def _take(self, item: tuple[int, Stamped] | None) -> None:
        if item is not None:
            life, event = item
            self.told.setdefault(life, []).append(event)
            self.story.take(self._place[life], event)

    def where(self) -> str:
        """What each life told last, and how it ended."""
        lines = [f"life {n}: {end} {[str(event.data) for event in self.told.get(n, [])[-6:]]}" for n, end in enumerate(self.herd.endings)]
        return "\n".join(lines)

    def said(self, life: int, kind: type[events.ObservedEvent]) -> list[events.ObservedEvent]:
        """A life's events of a kind."""
        return [event.data for event in self.told.get(life, []) if isinstance(event.data, kind)]

    def over(self) -> bool:
        """Every present life has ended."""
        return all(self.herd.endings[life] is not None for life in self.life.values())

    def finish(self) -> None:
        """Run to the end: everyone ends well with one model a round."""
        self.until_over()
        for index, life in self.life.items():
            ending = self.herd.endings[life]
            assert ending is not None, f"peer {index} has not ended\n{self.where()}"
            assert ending.code == 0, f"peer {index}: {ending}\n{self.where()}"
        self.story.check_digests()

    def until_over(self) -> None:
        """Take events in until every present life has ended."""
        for item in self.herd.events(max(0.0, self._deadline - time.monotonic())):
            self._take(item)
        assert self.over(), f"not over after {self._limit_s:g} s\n{self.where()}"

    def committed(self, number: int) -> bool:
        """Some peer has seen this round committed."""
        return number in self.story.committed

    def id_of(self, index: int) -> str:
        """A peer's id."""
        return self.story.ids[index]


def herd_of(directory: Path, peers: int, rounds: int, app: str = APP, **more: object) -> tuple[Herd, list[PeerSettings]]:
    settings = settings_for(directory, peers, app, rounds, serve=False, **more)
    return Herd(settings, framework=False), settings

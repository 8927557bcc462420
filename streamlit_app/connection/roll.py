"""Who is in the swarm, who was, and which place of the graph each has. Pure but for being told the time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pyfl.events import PeerJoined, PeerLeft, Stamped
from pyfl.peer.status import PeerEntry
from streamlit_app.connection.picture import SeenPeer

__all__ = ["Roll"]

REMEMBERED_S = 600.0  # for so long somebody who died is shown, and its place is kept for its return
LEFT, DIED = "left", "died"


class Roll:
    """A peer keeps its place for as long as it is remembered; a new one takes the lowest that is free."""

    def __init__(self) -> None:
        self._seen: dict[str, SeenPeer] = {}
        self._said_goodbye: dict[str, str] = {}

    def hear(self, events: Iterable[Stamped]) -> None:
        """Learn from events whether a peer left or died."""
        for stamped in events:
            match stamped.data:
                case PeerLeft(peer=peer, reason=reason):
                    self._said_goodbye[peer] = LEFT if reason == "left" else DIED
                case PeerJoined(peer=peer):
                    self._said_goodbye.pop(peer, None)
                case _:
                    pass

    def call(self, present: Iterable[PeerEntry], now: float) -> None:
        """Take in who is there. The first to be seen get their places in the order of site and name."""
        here = {entry.peer: entry for entry in present}
        for peer, entry in sorted(here.items(), key=lambda item: _rank(item[1])):
            known = self._seen.get(peer)
            fresh = SeenPeer(entry, self._free_place() if known is None else known.place)
            spot = known.spot if known is not None and known.site == fresh.site else self._free_spot(fresh)
            self._seen[peer] = replace(fresh, spot=spot)
        for peer, seen in list(self._seen.items()):
            if peer in here:
                continue
            if not seen.gone:
                self._seen[peer] = replace(seen, gone=self._said_goodbye.get(peer, DIED), gone_at=now)
            elif now - seen.gone_at > REMEMBERED_S:
                del self._seen[peer]

    def peers(self) -> tuple[SeenPeer, ...]:
        """Everyone, in the order of their names; how somebody went may be known only after it had gone."""
        told = (replace(seen, gone=self._said_goodbye.get(peer, seen.gone)) if seen.gone else seen for peer, seen in self._seen.items())
        return tuple(sorted(told, key=lambda seen: (seen.called, seen.entry.peer)))

    def _free_place(self) -> int:
        return _lowest({seen.place for seen in self._seen.values()})

    def _free_spot(self, fresh: SeenPeer) -> int:
        same = (seen.spot for peer, seen in self._seen.items() if peer != fresh.entry.peer and seen.site == fresh.site)
        return _lowest(set(same))


def _lowest(taken: set[int]) -> int:
    return next(place for place in range(len(taken) + 1) if place not in taken)


def _rank(entry: PeerEntry) -> tuple[str, str, str, str]:
    return entry.labels.get("region", ""), entry.labels.get("site", ""), entry.name, entry.peer

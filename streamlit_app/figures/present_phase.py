"""What each peer does just now: what the swarm's record says of all, made finer by the peers' own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import msgspec

from pyfl.events import Stamped
from streamlit_app.connection.picture import Picture, SeenPeer
from streamlit_app.figures.phase_spans import phase_begun

__all__ = ["with_own_words"]

ORDER = ("training", "waiting", "reducing", "holding")
NEWEST = 2_000  # events that are looked through; a round has about ten a peer


def with_own_words(picture: Picture) -> Picture:
    """The record knows only which phase the round is in; a peer's events say that it has trained already, or holds the result already.

    They may be seconds old, so they only ever move a peer forward within the round.
    """
    if picture.status is None:
        return picture
    said = _said(picture.events, picture.status.round)
    return replace(picture, peers=tuple(_further(seen, said.get(seen.entry.peer)) for seen in picture.peers))


def _further(seen: SeenPeer, said: str | None) -> SeenPeer:
    if seen.gone or said is None or seen.entry.phase not in ORDER or ORDER.index(said) <= ORDER.index(seen.entry.phase):
        return seen
    return replace(seen, entry=msgspec.structs.replace(seen.entry, phase=said))


def _said(told: Sequence[Stamped], number: int) -> dict[str, str]:
    """The newest phase that each peer said it began in this round."""
    found: dict[str, str] = {}
    for stamped in islice(reversed(told), NEWEST):
        if stamped.peer not in found and getattr(stamped.data, "round", None) == number:
            phase = phase_begun(stamped.data)
            if phase in ORDER:
                found[stamped.peer] = phase
    return found

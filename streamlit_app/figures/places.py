"""Where each place of the graph is. A place never moves, however many peers come and go.

Places 0 to 5 are a hexagon, 6 to 11 the gaps between, then inner rings. With several sites each is a small ring of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from streamlit_app.connection.picture import SeenPeer

__all__ = ["place_at", "points"]

Point = tuple[float, float]
_HEXAGON = (150, 30, 210, 330, 90, 270)  # the first two side by side, four a rectangle, six all round
_RINGS = (
    (1.0, 12, 15),
    (0.62, 12, 0),
    (0.3, 6, 30),
    (0.81, 24, 7.5),
    (0.46, 12, 15),
    (0.9, 36, 5),
    (0.72, 36, 0),
    (0.54, 24, 7.5),
    (0.38, 18, 10),
)
SITE_SIZE = 0.36
SITE_DISTANCE = 0.6


@lru_cache(maxsize=1)
def _unit() -> tuple[Point, ...]:
    """Places in the unit circle, in the order in which they are taken."""
    found = [_on(angle, 1.0) for angle in _HEXAGON] + [_on(angle, 1.0) for angle in (120, 60, 240, 300, 180, 0)]
    for radius, count, first in _RINGS:
        found += [_on(first + turn * 360 / count, radius) for turn in range(count)]
    return tuple(found)


def _on(angle: float, radius: float) -> Point:
    return radius * math.cos(math.radians(angle)), radius * math.sin(math.radians(angle))


def place_at(place: int) -> Point:
    """A place in the unit circle; from the 192nd on places are shared."""
    unit = _unit()
    return unit[place % len(unit)]


def points(peers: Sequence[SeenPeer]) -> dict[str, Point]:
    """Each peer's point in the unit circle, by its id."""
    sites = sorted({_site(seen) for seen in peers})
    if len(sites) < 2:
        return {seen.entry.peer: place_at(seen.place) for seen in peers}
    found: dict[str, Point] = {}
    for number, site in enumerate(sites):
        centre = place_at(number)
        inside = sorted((seen for seen in peers if _site(seen) == site), key=lambda seen: seen.place)
        for turn, seen in enumerate(inside):
            x, y = place_at(turn)
            found[seen.entry.peer] = (centre[0] * SITE_DISTANCE + x * SITE_SIZE, centre[1] * SITE_DISTANCE + y * SITE_SIZE)
    return found


def _site(seen: SeenPeer) -> str:
    return seen.entry.labels.get("site", "") or seen.entry.labels.get("region", "")

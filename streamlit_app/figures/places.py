"""Where each place of the graph is. A place never moves, however many peers come and go.

Places 0 to 5 are a hexagon, 6 to 11 the gaps between, then inner rings. With several sites each is a small ring of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from streamlit_app.connection.picture import SeenPeer

__all__ = ["Cell", "place_at", "points", "site_cells"]

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
WIDE = 2.0  # the picture is about so many times as wide as high
RING = 0.72  # of its cell, that a ring fills


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
    """Each peer's point in the square from -1 to 1, by its id."""
    sites = site_cells(peers)
    if not sites:
        return {seen.entry.peer: place_at(seen.place) for seen in peers}
    found: dict[str, Point] = {}
    for seen in peers:
        (x, y), (across, along) = place_at(seen.spot), sites[seen.site].reach
        found[seen.entry.peer] = (sites[seen.site].centre[0] + x * across, sites[seen.site].centre[1] + y * along)
    return found


@dataclass(frozen=True, slots=True)
class Cell:
    """A site's part of the picture: its middle, and how far its ring reaches to the side and upwards."""

    centre: Point
    reach: Point


def site_cells(peers: Sequence[SeenPeer]) -> dict[str, Cell]:
    """Cells side by side for the sites, in the order of their names; none if there is only one."""
    sites = sorted({seen.site for seen in peers})
    if len(sites) < 2:
        return {}
    columns = math.ceil(math.sqrt(len(sites) * WIDE))
    rows = math.ceil(len(sites) / columns)
    columns = math.ceil(len(sites) / rows)
    found: dict[str, Cell] = {}
    for number, site in enumerate(sites):
        row, column = divmod(number, columns)
        centre = ((2 * column + 1) / columns - 1, 1 - (2 * row + 1) / rows)
        found[site] = Cell(centre, (RING / columns, RING / rows))
    return found

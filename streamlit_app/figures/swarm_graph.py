"""The swarm as a graph: who does what, who coordinates, who votes, and the tree of one segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamlit_app.connection.answers import Tree
from streamlit_app.connection.picture import SeenPeer
from streamlit_app.figures.palette import PHASES, Ink, phase_of
from streamlit_app.figures.places import Cell, points, site_cells
from streamlit_app.figures.tiers import depths, tier_points

__all__ = ["swarm_graph"]

FEW, SOME, MANY = 12, 24, 60  # peers: sizes of nodes and labels
EDGE = 1.22  # how far the axes reach beyond the unit circle, so that labels fit


def swarm_graph(peers: Sequence[SeenPeer], tree: Tree, ink: Ink, *, by_tier: bool = False) -> dict[str, Any]:
    """An ECharts option. `by_tier`: placed as the segment's tree has them; else each peer at its own place."""
    members = [seen for seen in peers if not by_tier or not seen.gone]
    where = points(members)
    if by_tier and tree.root:
        where |= _below(members, tree, where)
    tier = depths(tree)
    size = 46 if len(peers) <= FEW else 30 if len(peers) <= SOME else 18 if len(peers) <= MANY else 11
    # Every phase is a category also when nobody is in it: the legend stays as it is.
    categories = [{"name": phase.called, "itemStyle": _style(name, ink)} for name, phase in PHASES.items()]
    nodes = [
        _node(seen, where[seen.entry.peer], size, tier, tree, ink, labelled=len(peers) <= MANY, few=len(peers) <= FEW) for seen in members
    ]
    return {
        "animation": False,
        "tooltip": {"trigger": "item", "confine": True},
        "legend": {
            "data": [{"name": phase.called, "icon": "circle", "itemStyle": _style(name, ink)} for name, phase in PHASES.items()],
            "bottom": 0, "itemGap": 14, "selectedMode": False, "textStyle": {"color": ink.soft, "fontSize": 12},
        },
        "grid": {"left": 8, "right": 8, "top": 8, "bottom": 58, "containLabel": False},
        "xAxis": {"type": "value", "min": -EDGE, "max": EDGE, "show": False},
        "yAxis": {"type": "value", "min": -EDGE, "max": EDGE, "show": False},
        "series": [
            {
                "type": "graph", "id": "swarm", "layout": "none", "coordinateSystem": "cartesian2d",
                "roam": False, "draggable": False, "categories": categories,
                "edgeSymbol": ["none", "arrow"], "edgeSymbolSize": 7,
                "data": nodes, "links": _links(tree, {seen.entry.peer for seen in members if not seen.gone}, ink),
                "emphasis": {"focus": "adjacency", "lineStyle": {"width": 3}},
            },
            _sites({} if by_tier else site_cells(members), ink),
        ],
    }  # fmt: skip


def _node(
    seen: SeenPeer, at: tuple[float, float], size: int, tier: Mapping[str, int], tree: Tree, ink: Ink, *, labelled: bool, few: bool
) -> dict[str, Any]:
    entry, gone = seen.entry, bool(seen.gone)
    role = "coordinator" if entry.coordinator and not gone else "votes" if entry.voter and not gone else ""
    style = _style("gone" if gone else seen.phase, ink)
    if not gone and (entry.coordinator or entry.voter):
        style |= {"borderColor": ink.text, "borderWidth": 4 if entry.coordinator else 2}
    sub = seen.gone or role or ("this tree's root" if entry.peer == tree.root else "")
    return {
        "id": entry.peer,
        "name": seen.called,
        "value": [round(at[0], 4), round(at[1], 4)],
        "category": list(PHASES).index(seen.phase) if seen.phase in PHASES else list(PHASES).index("waiting"),
        "symbol": "circle",
        "symbolSize": size + (10 if entry.peer == tree.root and not gone else 0),
        "itemStyle": style,
        "label": {
            "show": labelled, "position": "bottom", "distance": 4, "lineHeight": 15,
            "backgroundColor": ink.paper if few else "transparent", "padding": [1, 3],  # few: over arrows, and not over a neighbour
            "formatter": f"{{name|{_plain(seen.called)}}}" + (f"\n{{sub|{sub}}}" if sub and (few or gone) else ""),
            "rich": {
                "name": {"color": ink.soft if gone else ink.text, "fontSize": 13, "fontWeight": 600},
                "sub": {"color": ink.soft, "fontSize": 11},
            },
        },
        "tooltip": {"formatter": _tooltip(seen, tier.get(entry.peer))},
    }  # fmt: skip


def _sites(cells: Mapping[str, Cell], ink: Ink) -> dict[str, Any]:
    """The names of the sites, in the middle of each one's ring."""
    label = {"show": True, "position": "inside", "formatter": "{b}", "color": ink.soft, "fontSize": 13, "fontStyle": "italic"}
    data = [{"name": _plain(site or "no site"), "value": list(cell.centre)} for site, cell in cells.items()]
    return {"type": "scatter", "id": "sites", "symbolSize": 0, "silent": True, "label": label, "data": data}


def _style(phase: str, ink: Ink) -> dict[str, Any]:
    """Filled with the phase's colour; whoever is gone is an outline."""
    if phase == "gone":
        return {"color": "transparent", "borderColor": ink.soft, "borderType": "dashed", "borderWidth": 1.5}
    return {"color": phase_of(phase).colour, "borderColor": ink.paper, "borderType": "solid", "borderWidth": 0}


def _tooltip(seen: SeenPeer, tier: int | None) -> str:
    entry, phase = seen.entry, phase_of(seen.phase)
    lines = [f"<b>{_escape(seen.called)}</b>", _escape(seen.gone or phase.called) + (f": {_escape(phase.means)}" if not seen.gone else "")]
    if entry.coordinator and not seen.gone:
        lines.append("coordinates the rounds")
    if entry.voter and not seen.gone:
        lines.append("votes in the committee")
    if tier is not None and not seen.gone:
        lines.append("root of this segment's tree" if tier == 0 else f"tier {tier} of this segment's tree")
    if entry.have >= 0:
        lines.append(f"has model {entry.have}")
    lines += [f"{_escape(key)} {_escape(value)}" for key, value in sorted(entry.labels.items())]
    lines.append(f"{_escape(entry.address)} · {_escape(entry.peer[:8])}")
    return "<br/>".join(lines)


def _links(tree: Tree, here: set[str], ink: Ink) -> list[dict[str, Any]]:
    """Updates go up: each arrow points from a child to its parent."""
    return [
        {"source": child, "target": parent, "lineStyle": {"color": ink.soft, "width": 1.4, "opacity": 0.55, "curveness": 0.12}}
        for child, parent in sorted(tree.parent.items())
        if child in here and parent in here
    ]


def _below(members: Sequence[SeenPeer], tree: Tree, where: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Tiers for the members of the tree; whoever is not in it stands in a row below."""
    found = tier_points(tree, {seen.entry.peer: seen.place for seen in members})
    outside = [peer for peer in where if peer not in found]
    if outside:
        found = {peer: (x, 0.3 + 0.7 * y) for peer, (x, y) in found.items()}
    row = {peer: (2 * (turn + 1) / (len(outside) + 1) - 1, -1.0) for turn, peer in enumerate(outside)}
    return {peer: (x, y) for peer, (x, y) in (found | row).items() if peer in where}


def _plain(text: str) -> str:
    """Without what ECharts' rich text would take for its own."""
    return text.replace("{", "(").replace("}", ")").replace("|", "/")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("{", "&#123;").replace("}", "&#125;")

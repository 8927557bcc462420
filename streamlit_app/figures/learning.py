"""Curves of a run: the swarm bold, each peer's own training thin; and who has which classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyfl.peer.status import Local, RoundEntry
from streamlit_app.figures.palette import BOLD, GOOD, Ink, peer_colour

__all__ = ["accuracy_curve", "class_map", "class_map_height", "loss_curves"]

MANY_CLASSES = 20
MANY_ROUNDS = 30
MOST_IN_LEGEND = 24
IN_A_LINE, LINE = 5, 22  # names in a line of the legend of a narrow chart, and its height in pixels


def accuracy_curve(rounds: Sequence[RoundEntry], total: int, ink: Ink) -> dict[str, Any]:
    """Accuracy of each committed model, in percent."""
    points = [[entry.round, round(entry.accuracy * 100, 2)] for entry in rounds if entry.accuracy is not None]
    lowest = min((accuracy for _, accuracy in points), default=0.0)
    floor = max(0, int(lowest // 10 * 10 - 10)) if lowest > 50 else 0
    area = {"color": GOOD, "opacity": 0.12}
    option = _axes(total, ink, "{value} %", floor, 100)
    option["tooltip"] = {"trigger": "axis", "confine": True, "valueFormatter": "%.1f %%"}
    option["series"] = [_line("swarm", points, GOOD, width=3.5) | {"areaStyle": area}]
    return option


def loss_curves(
    rounds: Sequence[RoundEntry], locals_: Mapping[str, Local], names: Mapping[str, str], places: Mapping[str, int], total: int, ink: Ink
) -> dict[str, Any]:
    """Loss of each committed model (bold) and of each peer's training on its own data (thin)."""
    swarm = [[entry.round, round(entry.loss, 4)] for entry in rounds if entry.loss is not None]
    thin = [
        _line(
            names.get(peer, local.name or peer[:8]),
            _last_of_each_round(local),
            peer_colour(places.get(peer, 0)),
            width=1.4,
        )
        for peer, local in sorted(locals_.items(), key=lambda item: names.get(item[0], item[0]))
    ]
    option = _axes(total, ink, "{value}", 0, None)
    option["tooltip"] = {"trigger": "axis", "confine": True, "order": "valueAsc", "valueFormatter": "%.3f"}
    lines = -(-(len(thin) + 1) // IN_A_LINE) if len(thin) <= MOST_IN_LEGEND else 0
    option["grid"] |= {"bottom": 44 + LINE * lines}
    option["legend"] = {
        "show": lines > 0, "bottom": 0, "left": "center", "itemWidth": 14, "itemHeight": 8, "itemGap": 10, "textStyle": {"color": ink.soft},
        "data": ["swarm", *(line["name"] for line in thin)],
    }  # fmt: skip
    option["series"] = [*thin, _line("swarm", swarm, BOLD, width=4) | {"z": 5}]
    return option


def _last_of_each_round(local: Local) -> list[list[float]]:
    """A round that was begun again is trained again: the last counts."""
    found = {trained.round: trained.loss for trained in local.trained if trained.loss is not None and trained.finite}
    return [[number, round(loss, 4)] for number, loss in sorted(found.items())]


def _axes(total: int, ink: Ink, label: str, lowest: float, highest: float | None) -> dict[str, Any]:
    split = {"lineStyle": {"color": ink.line}}
    return {
        "animation": False,
        "grid": {"left": 8, "right": 20, "top": 16, "bottom": 40, "containLabel": True},
        "xAxis": {
            "type": "value", "min": 0, "max": max(total, 1), "minInterval": 1, "name": "round", "nameLocation": "middle", "nameGap": 26,
            "nameTextStyle": {"color": ink.soft}, "axisLabel": {"color": ink.soft}, "splitLine": {"show": False},
        },
        "yAxis": {"type": "value", "min": lowest, "max": highest, "axisLabel": {"formatter": label, "color": ink.soft}, "splitLine": split},
    }  # fmt: skip


def _line(name: str, points: list[list[float]], colour: str, *, width: float) -> dict[str, Any]:
    return {
        "type": "line", "name": name, "data": points,
        "symbol": "circle", "symbolSize": 6 if width > 2 else 3, "showSymbol": len(points) <= MANY_ROUNDS,
        "lineStyle": {"width": width, "color": colour, "opacity": 1 if width > 2 else 0.75}, "itemStyle": {"color": colour},
        "emphasis": {"focus": "series"},
    }  # fmt: skip


def class_map_height(peers: int) -> int:
    """In pixels."""
    return 110 + 34 * max(1, peers)


def class_map(locals_: Mapping[str, Local], names: Mapping[str, str], ink: Ink, *, dark: bool) -> dict[str, Any]:
    """Samples of each class at each peer, as a heat map."""
    peers = sorted((peer for peer in locals_ if locals_[peer].classes), key=lambda peer: names.get(peer, peer), reverse=True)
    found = dict.fromkeys(name for peer in peers for name in locals_[peer].classes)  # each peer's are in the order of the app
    classes = sorted(found, key=lambda name: int(name) if name.isdecimal() else 0)
    cells = [[column, row, locals_[peer].classes.get(name, 0)] for row, peer in enumerate(peers) for column, name in enumerate(classes)]
    most = max((cell[2] for cell in cells), default=1)
    scale = ["#16202c", "#1d4f80", "#3a8fdc", "#a9d4ff"] if dark else ["#f1f5fa", "#b9d6f2", "#5a9fdd", "#1b5ea8"]
    return {
        "animation": False,
        "tooltip": {"confine": True, "formatter": "{b}: {@[2]} samples"},
        "grid": {"left": 8, "right": 16, "top": 8, "bottom": 74, "containLabel": True},
        "xAxis": {
            "type": "category", "data": classes, "name": "class", "nameLocation": "middle", "nameGap": 26,
            "nameTextStyle": {"color": ink.soft}, "axisTick": {"show": False}, "axisLine": {"show": False},
            "axisLabel": {"color": ink.soft, "rotate": 40 if any(len(name) > 6 for name in classes) else 0},
        },
        "yAxis": {
            "type": "category", "data": [names.get(peer, locals_[peer].name or peer[:8]) for peer in peers],
            "axisTick": {"show": False}, "axisLine": {"show": False}, "axisLabel": {"color": ink.text},
        },
        "visualMap": {
            "min": 0, "max": max(most, 1), "calculable": False, "orient": "horizontal", "left": "center", "bottom": 0, "itemHeight": 140,
            "itemWidth": 12, "text": [f"{most} samples", "0"], "textStyle": {"color": ink.soft}, "inRange": {"color": scale},
        },
        "series": [
            {
                "type": "heatmap", "data": cells, "itemStyle": {"borderColor": ink.paper, "borderWidth": 2, "borderRadius": 3},
                "label": {"show": len(classes) <= MANY_CLASSES, "fontSize": 11},
            }
        ],
    }  # fmt: skip

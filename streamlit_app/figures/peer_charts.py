"""Small charts of one peer: its classes and its speed."""

from __future__ import annotations

from typing import Any

from pyfl.peer.status import Local
from streamlit_app.figures.palette import Ink

__all__ = ["classes_held", "speed"]

MANY = 30  # rounds


def classes_held(local: Local, colour: str, ink: Ink) -> dict[str, Any]:
    """Samples of each class."""
    names = list(local.classes)  # in the order of the app
    return _frame(ink) | {
        "xAxis": _categories(names, ink),
        "series": [
            {"type": "bar", "data": [local.classes[name] for name in names], "itemStyle": {"color": colour, "borderRadius": [3, 3, 0, 0]}}
        ],
        "tooltip": {"trigger": "axis", "confine": True, "valueFormatter": "%d samples"},
    }


def speed(local: Local, colour: str, ink: Ink) -> dict[str, Any]:
    """Samples a second in each round."""
    trained = [one for one in local.trained if one.samples_per_s > 0]
    return _frame(ink) | {
        "xAxis": _categories([str(one.round) for one in trained], ink),
        "series": [
            {
                "type": "line", "data": [round(one.samples_per_s) for one in trained], "symbolSize": 5, "showSymbol": len(trained) <= MANY,
                "lineStyle": {"color": colour, "width": 2.5}, "itemStyle": {"color": colour},
                "areaStyle": {"color": colour, "opacity": 0.12},
            }
        ],
        "tooltip": {"trigger": "axis", "confine": True, "valueFormatter": "%d samples/s"},
    }  # fmt: skip


def _categories(names: list[str], ink: Ink) -> dict[str, Any]:
    return {"type": "category", "data": names, "axisTick": {"show": False}, "axisLabel": {"color": ink.soft}}


def _frame(ink: Ink) -> dict[str, Any]:
    return {
        "animation": False,
        "grid": {"left": 4, "right": 12, "top": 12, "bottom": 8, "containLabel": True},
        "yAxis": {"type": "value", "min": 0, "axisLabel": {"color": ink.soft}, "splitLine": {"lineStyle": {"color": ink.line}}},
    }

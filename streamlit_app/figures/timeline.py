"""A chart of phases by peer: a row a peer, time from left to right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamlit_app.figures.numbers import seconds
from streamlit_app.figures.palette import PHASES, Ink, phase_of
from streamlit_app.figures.phase_spans import Span

__all__ = ["of_rounds", "timeline", "timeline_height"]

SHOWN = ("training", "waiting", "reducing", "holding", "joining")
ROW = 34


def of_rounds(spans: Sequence[Span], first: int, last: int) -> list[Span]:
    """The spans of these rounds."""
    return [span for span in spans if first <= span.round <= last]


def timeline_height(rows: int) -> int:
    """In pixels, so that every row is as high whatever their number."""
    return 96 + ROW * max(1, rows)


def timeline(spans: Sequence[Span], names: Mapping[str, str], ink: Ink) -> dict[str, Any]:
    """An ECharts option; seconds count from the first span's beginning."""
    rows = sorted({span.peer for span in spans}, key=lambda peer: names.get(peer, peer), reverse=True)
    row = {peer: number for number, peer in enumerate(rows)}
    start = min((span.begin for span in spans), default=0.0)
    end = max((span.end for span in spans), default=start + 1.0)
    width = 16 if len(rows) <= 12 else 10
    series = [
        {
            "type": "lines", "name": phase_of(name).called, "coordinateSystem": "cartesian2d", "polyline": False,
            "lineStyle": {"width": width, "color": PHASES[name].colour, "opacity": 1 if name != "waiting" else 0.45, "cap": "butt"},
            "data": [_bar(span, start, row[span.peer], names) for span in spans if span.phase == name],
        }
        for name in SHOWN
    ]  # fmt: skip
    return {
        "animation": False,
        "tooltip": {"trigger": "item", "confine": True},
        "legend": {
            "bottom": 0, "itemWidth": 14, "itemHeight": 10, "selectedMode": False, "textStyle": {"color": ink.soft},
            "data": [{"name": phase_of(name).called, "icon": "roundRect", "itemStyle": {"color": PHASES[name].colour}} for name in SHOWN],
        },
        "grid": {"left": 8, "right": 24, "top": 12, "bottom": 62, "containLabel": True},
        "xAxis": {
            "type": "value", "min": 0, "max": round(max(end - start, 0.1), 2),
            "axisLabel": {"formatter": "{value} s", "color": ink.soft, "showMaxLabel": False},
            "splitLine": {"lineStyle": {"color": ink.line}},
        },
        "yAxis": {
            "type": "category", "data": [names.get(peer, peer[:8]) for peer in rows],
            "axisLabel": {"color": ink.text}, "axisTick": {"show": False}, "axisLine": {"show": False},
        },
        "series": series,
    }  # fmt: skip


def _bar(span: Span, start: float, row: int, names: Mapping[str, str]) -> dict[str, Any]:
    begin, end = round(span.begin - start, 3), round(span.end - start, 3)
    again = f", epoch {span.epoch}" if span.epoch > 1 else ""
    text = f"{names.get(span.peer, span.peer[:8])}: round {span.round}{again}, {phase_of(span.phase).called} {seconds(span.seconds)}"
    return {"name": text, "coords": [[begin, row], [end, row]], "tooltip": {"formatter": "{b}"}}

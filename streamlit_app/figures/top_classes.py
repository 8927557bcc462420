"""What the model says of a picture, as bars."""

from __future__ import annotations

from typing import Any

from pyfl.peer.status import Prediction
from streamlit_app.figures.palette import BOLD, Ink

__all__ = ["top_classes", "top_classes_height"]


def top_classes_height(prediction: Prediction) -> int:
    """In pixels."""
    return 30 + 44 * max(1, len(prediction.top))


def top_classes(prediction: Prediction, ink: Ink) -> dict[str, Any]:
    """Confidence of each class in percent, the likeliest on top."""
    upward = list(reversed(prediction.top))
    bars = [
        {
            "value": round(choice.confidence * 100, 1),
            "itemStyle": {
                "color": BOLD if choice is prediction.top[0] else ink.soft,
                "opacity": 1 if choice is prediction.top[0] else 0.55,
            },
        }
        for choice in upward
    ]
    return {
        "animation": False,
        "grid": {"left": 8, "right": 64, "top": 8, "bottom": 8, "containLabel": True},
        "xAxis": {"type": "value", "min": 0, "max": 100, "show": False},
        "yAxis": {
            "type": "category", "data": [choice.name for choice in upward], "axisTick": {"show": False}, "axisLine": {"show": False},
            "axisLabel": {"color": ink.text, "fontSize": 15, "fontWeight": 600},
        },
        "series": [
            {
                "type": "bar", "data": bars, "barMaxWidth": 22, "itemStyle": {"borderRadius": 4},
                "label": {"show": True, "position": "right", "formatter": "{c} %", "color": ink.text},
            }
        ],
    }  # fmt: skip

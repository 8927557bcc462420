"""Tables on a page: columns by their headings, and the rows that are selected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import streamlit as st

__all__ = ["selectable_table", "table"]

# Streamlit's types name pandas, which has none here.
_dataframe: Any = cast("Any", st).dataframe


def table(columns: Mapping[str, Sequence[object]], key: str, config: Mapping[str, Any], height: int | str = "auto") -> None:
    """A table whose headings sort."""
    _dataframe(dict(columns), key=key, hide_index=True, column_config=dict(config), placeholder="–", height=height)


def selectable_table(columns: Mapping[str, Sequence[object]], key: str, config: Mapping[str, Any]) -> int | None:
    """The same; the number of the selected row."""
    rows = len(next(iter(columns.values()), ()))
    state = _dataframe(
        dict(columns), key=key, hide_index=True, column_config=dict(config), placeholder="–", on_select="rerun", selection_mode="single-row"
    )
    return next((row for row in state.selection.rows if row < rows), None)

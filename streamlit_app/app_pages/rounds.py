"""Rounds: when each peer did what, and what was agreed on."""

from __future__ import annotations

from typing import Any

import streamlit as st

from streamlit_app.app_pages.frame import chart, nothing_yet, present_ink, refreshed
from streamlit_app.app_pages.tables import table
from streamlit_app.connection.picture import Picture
from streamlit_app.figures.phase_spans import phase_spans
from streamlit_app.figures.round_table import round_table
from streamlit_app.figures.timeline import of_rounds, timeline, timeline_height

__all__ = ["page"]

NEWEST, SHOWN = "the newest three", 3
_COLUMNS: dict[str, Any] = {
    "Accuracy": st.column_config.NumberColumn(format="%.2f %%"),
    "Loss": st.column_config.NumberColumn(format="%.4f"),
    "Updates": st.column_config.NumberColumn(help="How many peers' updates were counted"),
    "Contributors": st.column_config.ListColumn(width="medium"),
    "Epoch": st.column_config.NumberColumn(help="1, and one more for every time that the round went on without a peer"),
    "Training": st.column_config.NumberColumn(format="%.2f s"),
    "Adding up": st.column_config.NumberColumn(format="%.2f s"),
    "Digest": st.column_config.TextColumn(help="Of the model that all agreed on"),
}


def page() -> None:
    """Draw it."""
    st.title("Rounds", anchor=False)
    refreshed(_draw)


def _draw(picture: Picture) -> None:
    newest = sorted(picture.rounds, key=lambda entry: entry.round, reverse=True)
    number = picture.status.round if picture.status else -1
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.subheader("What each peer did", anchor=False)
        choice = st.selectbox("Round", [NEWEST, *(entry.round for entry in newest)], key="rounds-which", width=180)
    first, last = (max(1, number - SHOWN + 1), max(1, number)) if choice == NEWEST else (int(choice), int(choice))
    spans = of_rounds(phase_spans(picture.events, picture.heard), first, last)
    if spans:
        with st.container(border=True):
            people = len({span.peer for span in spans})
            chart(timeline(spans, picture.names, present_ink()), "timeline", timeline_height(people), "Phases of each peer over time")
    else:
        nothing_yet("Nothing is known of when.", "Peers that serve HTTP tell it as they train, and remember it for who comes later.")
    st.subheader("Committed rounds", anchor=False)
    if not newest:
        nothing_yet("No round is committed yet.", "Round 0 brings the founder's model to everyone; round 1 is the first that is trained.")
        return
    table(round_table(newest, picture.names), "rounds-table", _COLUMNS)

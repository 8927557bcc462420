"""Events: what the peers told, filtered, as it happens or held still."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pyfl.narrator import Narrator
from streamlit_app.app_pages.frame import nothing_yet, refreshed
from streamlit_app.app_pages.tables import table
from streamlit_app.connection.follower import LOOK_S
from streamlit_app.connection.picture import Picture
from streamlit_app.figures.event_rows import KINDS, event_rows

__all__ = ["page"]

HEIGHT = 620
MOST = 500
_COLUMNS: dict[str, Any] = {
    "Time": st.column_config.DatetimeColumn(format="HH:mm:ss.SSS", width="small"),
    "Peer": st.column_config.TextColumn(width="small"),
    "What": st.column_config.TextColumn(width="large"),
    "Kind": st.column_config.TextColumn(width=160),
    "No.": st.column_config.NumberColumn(width="small", help="The event's number at its peer"),
}


def page() -> None:
    """Draw it. Not following, the table stands still until something is changed by hand."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.title("Events", anchor=False)
        follow = st.toggle("Follow", value=True, key="events-follow", help="Off: the table stands still while you read.")
    refreshed(_draw, LOOK_S if follow else None)


def _draw(picture: Picture) -> None:
    names = picture.names
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        kinds = st.pills("What", list(KINDS), selection_mode="multi", key="events-kinds") or []
        call = Narrator(names).name
        peers: list[str] = st.multiselect("Peers", list(names), format_func=call, key="events-peers", placeholder="all", width=300)
    rows = event_rows(picture.events, names, kinds, peers, MOST)
    count = len(rows["Time"])
    if not count:
        nothing_yet("No such events.", "Choose other kinds or peers, or wait for the next.")
        return
    table(rows, "events-table", _COLUMNS, HEIGHT)
    st.caption(f"{count} of the {len(picture.events)} events that are known here, the newest first. `pyfl events` has all of a peer's.")

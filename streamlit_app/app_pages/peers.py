"""Peers: a table, and one of them in detail."""

from __future__ import annotations

from typing import Any

import streamlit as st

from streamlit_app.app_pages.frame import chart, nothing_yet, present_ink, refreshed
from streamlit_app.app_pages.tables import selectable_table, table
from streamlit_app.connection.picture import Picture, SeenPeer
from streamlit_app.figures.event_rows import event_rows
from streamlit_app.figures.numbers import byte_count, percent, seconds
from streamlit_app.figures.palette import peer_colour
from streamlit_app.figures.peer_charts import classes_held, speed
from streamlit_app.figures.peer_table import history_table, peer_table

__all__ = ["page"]

_COLUMNS: dict[str, Any] = {
    "Peer": st.column_config.TextColumn(pinned=True),
    "Role": st.column_config.TextColumn(width=100),
    "Loss": st.column_config.NumberColumn(format="%.4f", help="Of its newest training on its own data"),
    "Samples": st.column_config.NumberColumn(help="It trained on so many in its newest round"),
    "Sent": st.column_config.NumberColumn(format="%.1f MB"),
    "Received": st.column_config.NumberColumn(format="%.1f MB"),
    "Memory": st.column_config.NumberColumn(format="%.0f MB"),
    "Model": st.column_config.NumberColumn(help="The newest that it is known to hold"),
    "Time": st.column_config.NumberColumn(format="%.2f s"),
    "Site": st.column_config.TextColumn(help="Its labels region and site"),
}

_TOLD: dict[str, Any] = {"Time": st.column_config.DatetimeColumn(format="HH:mm:ss.SSS", width="small")}


def page() -> None:
    """Draw it."""
    st.title("Peers", anchor=False)
    refreshed(_draw)


def _draw(picture: Picture) -> None:
    if not picture.peers:
        nothing_yet("No peers yet.", "They appear as they join.")
        return
    st.caption("A column's heading sorts. Select a row for that peer's data, speed and history.")
    rows = sorted(picture.peers, key=lambda seen: seen.place)  # who comes later is below, so that a selected row stays who it was
    shown = peer_table(picture, rows)
    if not any(shown["Site"]):
        del shown["Site"]
    row = selectable_table(shown, "peers-table", _COLUMNS)
    seen = rows[row] if row is not None else None
    if seen is not None:
        _detail(picture, seen)


def _detail(picture: Picture, seen: SeenPeer) -> None:
    peer = seen.entry.peer
    local = picture.locals.get(peer)
    colour, ink = peer_colour(seen.place), present_ink()
    st.subheader(seen.called)
    st.caption(f"`{peer}` · {seen.entry.address}")
    if local is None:
        nothing_yet("This peer tells nothing of itself.", "Start it with `--http HOST:PORT`, and its data, speed and history are here.")
        return
    counted = {entry.round: peer in entry.contributors for entry in picture.rounds}
    share = sum(counted.values()) / len(counted) if counted else None
    newest = local.trained[-1] if local.trained else None
    with st.container(horizontal=True, gap="xsmall"):
        st.metric("Contributed to", percent(share), help="Of the rounds that are remembered", border=True)
        st.metric("Newest training", seconds(newest.train_s if newest else None), border=True)
        st.metric("Sent", byte_count(local.resources.bytes_sent), border=True)
        st.metric("Received", byte_count(local.resources.bytes_received), border=True)
        st.metric("Memory", byte_count(local.resources.rss_bytes), border=True)
        st.metric("Processor time", seconds(local.resources.cpu_s), border=True)
    left, right = st.columns(2)
    with left, st.container(border=True):
        st.markdown("**Samples of each class**")
        if local.classes:
            chart(classes_held(local, colour, ink), "peer-classes", 220, f"Samples of each class at {seen.called}")
        else:
            st.caption("Its data has no classes, or it has not read it yet.")
    with right, st.container(border=True):
        st.markdown("**Samples a second, by round**")
        if local.trained:
            chart(speed(local, colour, ink), "peer-speed", 220, f"Training speed of {seen.called}")
        else:
            st.caption("It has not trained yet.")
    history, told = st.tabs(["What it trained", "What it told"])
    with history:
        table(history_table(local, counted), "peer-history", _COLUMNS)
    with told:
        rows = event_rows(picture.events, picture.names, peers=(peer,), most=100)
        table({column: rows[column] for column in ("Time", "What")}, "peer-events", _TOLD)

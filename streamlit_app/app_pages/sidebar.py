"""Beside every page: what is looked at, through whom, and how fresh it is."""

from __future__ import annotations

import streamlit as st

from streamlit_app.connection import shared
from streamlit_app.connection.follower import LOOK_S
from streamlit_app.connection.picture import LinkState

__all__ = ["sidebar"]

_SIGNS: dict[LinkState, str] = {
    "live": ":green-badge[:material/check_circle: live]",
    "connecting": ":blue-badge[:material/progress_activity: connecting]",
    "stale": ":orange-badge[:material/sync_problem: not fresh]",
    "refused": ":red-badge[:material/key_off: wrong token]",
    "unreachable": ":red-badge[:material/link_off: no answer]",
}


def sidebar() -> None:
    """Refreshed as the pages are."""
    with st.sidebar:
        _link()


@st.fragment(run_every=LOOK_S)
def _link() -> None:
    if shared.follower() is None:
        st.caption("Not connected")
        return
    picture = shared.picture()
    link, status = picture.link, picture.status
    st.markdown(_SIGNS[link.state])
    if status is None:
        return
    me = status.name or status.peer[:8]
    lines = [f"**{status.app or 'no run yet'}** · run `{status.run[:8]}`" if status.run else "no run yet"]
    if link.state == "live":
        lines.append(f"seen through **{me}** at `{link.address}`")
    if link.moved_from and link.state == "live":
        lines.append(f"`{link.moved_from}` answered no more")
    st.caption("  \n".join(lines))
    if st.button("Look elsewhere", icon=":material/swap_horiz:", width="stretch"):
        elsewhere()


@st.dialog("Look elsewhere")
def elsewhere() -> None:
    """The connect form on top of the page."""
    from streamlit_app.app_pages.connect import connect_form

    connect_form("Which swarm?", "")

"""What every page has: the state of the link above it, a drawing that is refreshed, and text for what is not there yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import streamlit as st

from streamlit_app.app_pages.connect import connect_form
from streamlit_app.connection import shared
from streamlit_app.connection.follower import LOOK_S
from streamlit_app.connection.picture import Picture
from streamlit_app.figures.numbers import span
from streamlit_app.figures.palette import Ink, ink
from streamlit_app.figures.present_phase import with_own_words

__all__ = ["chart", "dark", "nothing_yet", "present_ink", "refreshed"]


def refreshed(draw: Callable[[Picture], None], every_s: float | None = LOOK_S) -> None:
    """Draw a page from the newest picture again and again; in its place what to do while there is none.

    `every_s` None: drawn once, as soon as there is something to draw.
    """
    waits = shared.picture().status is None

    @st.fragment(run_every=LOOK_S if waits else every_s)
    def body() -> None:
        picture = shared.picture()
        if waits and every_s is None and picture.status is not None:
            st.rerun()
        if _link(picture):
            draw(with_own_words(picture))

    body()


def _link(picture: Picture) -> bool:
    """Tell of a link that is not well; False if there is nothing to draw."""
    link = picture.link
    if shared.follower() is None:
        connect_form("Which swarm?", "Give the HTTP address of any one of its peers. The others are found through it.")
        return False
    if picture.status is None and link.state == "connecting":
        st.info(f"Connecting to {', '.join(shared.chosen().addresses)} …", icon=":material/progress_activity:")
        return False
    if picture.status is None:
        st.error(f"**{link.title}.** {link.problem}\n\n{link.advice}", icon=":material/link_off:")
        st.caption("The dashboard goes on trying; it shows the swarm as soon as a peer answers.")
        connect_form("Or look elsewhere", "")
        return False
    if link.state == "stale":
        ago = span(max(0.0, time.time() - link.seen_at))
        st.warning(
            f"**No peer answers any more.** What is shown was true {ago} ago. {link.problem} All that are known are tried again and again.",
            icon=":material/sync_problem:",
        )
    return True


def dark() -> bool:
    """Whether the page is dark."""
    return st.context.theme.type == "dark"


def present_ink() -> Ink:
    """What to draw with on the present background."""
    return ink(dark=dark())


def chart(option: dict[str, Any], key: str, height: int, alt: str, *, sharp: bool = False) -> None:
    """An ECharts chart that stays in place while its data change. `sharp`: as SVG."""
    st.echarts_chart(option, key=key, height=height, alt=alt, renderer="svg" if sharp else "canvas")


def nothing_yet(what: str, when: str) -> None:
    """In the place of a chart that has no data."""
    with st.container(border=True):
        st.markdown(f"**{what}**")
        st.caption(when)

"""Swarm: who is there, who does what, who sends to whom."""

from __future__ import annotations

import streamlit as st

from streamlit_app.app_pages.frame import chart, nothing_yet, present_ink, refreshed
from streamlit_app.connection import shared
from streamlit_app.connection.answers import AnswerError, Tree
from streamlit_app.connection.picture import Picture
from streamlit_app.figures.key_figures import key_figures, sentence
from streamlit_app.figures.swarm_graph import swarm_graph

__all__ = ["page"]

PLACES, TIERS = "in place", "by tier"
HEIGHT = 460


def page() -> None:
    """Draw it."""
    st.title("Swarm", anchor=False)
    refreshed(_draw)


def _draw(picture: Picture) -> None:
    figures = key_figures(picture)
    with st.container(horizontal=True, gap="xsmall"):
        for figure in figures:
            st.metric(
                figure.label, figure.value, figure.change or None, delta_color=figure.good,  # type: ignore[arg-type]
                delta_arrow="auto" if figure.good != "off" else "off", help=figure.means, border=True, width="stretch", height="stretch",
            )  # fmt: skip
    if picture.status and picture.status.rounds:
        st.progress(min(1.0, max(0, picture.status.have) / picture.status.rounds))
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom", gap="medium"):
        st.markdown(f"#### {sentence(picture)}", width="content")
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small", width="content"):
            view = st.segmented_control("Arrange", (PLACES, TIERS), default=PLACES, key="swarm-view", required=True)
            segment = int(st.number_input("Tree of segment", min_value=0, value=0, step=1, key="swarm-segment", width=140))
    if not picture.peers:
        nothing_yet("No peers yet.", "They appear as they join.")
        return
    tree, problem = _tree(segment, picture)
    with st.container(border=True):
        option = swarm_graph(picture.peers, tree, present_ink(), by_tier=view == TIERS)
        chart(option, "swarm-graph", HEIGHT, "The peers of the swarm and the tree of a segment", sharp=True)
    st.caption(
        problem or "Arrows point the way that updates go up; the model comes down the same way. "
        "Thick ring: coordinator. Thin ring: votes in the committee. Dashed: left or died."
    )  # fmt: skip


def _tree(segment: int, picture: Picture) -> tuple[Tree, str]:
    found = shared.follower()
    if found is None or picture.status is None:
        return Tree(), ""
    try:
        tree = found.tree(segment)
    except AnswerError as error:
        return Tree(), str(error)
    return tree, "" if tree.root else "Who sends to whom is known from the first round's adding up on."

"""Learning: how good the model is, what each peer saw of it, and who has which data."""

from __future__ import annotations

import streamlit as st

from streamlit_app.app_pages.frame import chart, dark, nothing_yet, present_ink, refreshed
from streamlit_app.connection.picture import Picture
from streamlit_app.figures.learning import accuracy_curve, class_map, class_map_height, loss_curves

__all__ = ["page"]


def page() -> None:
    """Draw it."""
    st.title("Learning", anchor=False)
    refreshed(_draw)


def _draw(picture: Picture) -> None:
    ink, total = present_ink(), picture.status.rounds if picture.status else 0
    scored = [entry for entry in picture.rounds if entry.accuracy is not None or entry.loss is not None]
    trained = any(local.trained for local in picture.locals.values())
    if not scored and not trained:
        nothing_yet("No round has been trained yet.", "The curves begin with round 1.")
    else:
        left, right = st.columns(2)
        with left, st.container(border=True, height="stretch"):
            st.markdown("**Accuracy** on held-out data")
            if any(entry.accuracy is not None for entry in scored):
                chart(accuracy_curve(picture.rounds, total, ink), "accuracy", 360, "Accuracy of the committed model by round")
            else:
                st.caption("What is trained here has no accuracy.")
        with right, st.container(border=True, height="stretch"):
            st.markdown("**Loss**: swarm bold, each peer's training thin")
            places = {seen.entry.peer: seen.place for seen in picture.peers}
            option = loss_curves(picture.rounds, picture.locals, picture.names, places, total, ink)
            chart(option, "loss", 360, "Loss by round, of the swarm and of each peer")
    st.subheader("Who has which data")
    held = [local for local in picture.locals.values() if local.classes]
    if not held:
        nothing_yet("No peer tells which classes it has.", "Peers with classes tell it once they have read their data.")
        return
    with st.container(border=True):
        height = class_map_height(len(held))
        chart(class_map(picture.locals, picture.names, ink, dark=dark()), "classes", height, "Samples of each class at each peer")
    st.caption("Only these counts leave a peer, and only to whoever has the swarm's token. The data does not.")

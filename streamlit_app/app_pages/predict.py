"""Predict: what the swarm's committed model says of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from pyfl.peer.status import Predictions
from streamlit_app.app_pages.frame import chart, nothing_yet, present_ink, refreshed
from streamlit_app.connection import shared
from streamlit_app.connection.answers import AnswerError, NoModelYet
from streamlit_app.connection.picture import Picture
from streamlit_app.figures.numbers import percent
from streamlit_app.figures.top_classes import top_classes, top_classes_height

__all__ = ["page"]

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
KINDS = ["png", "jpg", "jpeg", "webp", "bmp", "gif"]
UPLOAD, PASTE, SAMPLE = "Upload", "Paste", "Pick one"


def page() -> None:
    """Draw it; not refreshed, as nothing here changes but by hand."""
    st.title("Predict", anchor=False)
    st.html("<style>[data-testid=stImage] img { image-rendering: pixelated; }</style>")  # samples have 8 x 8 pixels
    refreshed(_draw, None)


def _draw(picture: Picture) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        found = _picture(_samples(picture.status.app if picture.status else ""))
    with right:
        if found is None:
            nothing_yet("No picture yet.", "Upload one, paste one, or pick one.")
            return
        name, content = found
        _answer(name, content)


def _samples(app: str) -> list[Path]:
    """Held-out pictures of the app's own data, one a class; none for apps that have no folder here."""
    return sorted((SAMPLES / name).glob("*.png")) if (name := app.partition(":")[0]).isalnum() else []


def _picture(samples: Sequence[Path]) -> tuple[str, bytes] | None:
    """(name, content) of the picture that was given last."""
    ways = (SAMPLE, UPLOAD, PASTE) if samples else (UPLOAD, PASTE)
    how = st.segmented_control("Picture", ways, default=ways[0], key="predict-how", required=True, label_visibility="collapsed")
    if how == UPLOAD:
        file = st.file_uploader("A picture", type=KINDS, key="predict-upload", max_upload_size=10)
        return (file.name, file.getvalue()) if file else None
    if how == PASTE:
        st.caption("Copy a picture anywhere, click into the field, and press Ctrl+V, then Enter.")
        pasted = st.chat_input("Paste here", accept_file=True, file_type=KINDS, key="predict-paste")
        if pasted and pasted.files:
            st.session_state["predict-pasted"] = (pasted.files[0].name, pasted.files[0].getvalue())
        return st.session_state.get("predict-pasted")
    st.caption("From the data that no peer trains on.")
    with st.container(horizontal=True, gap="xsmall"):
        for file in samples:
            with st.container(width=74, gap="xsmall"):
                st.image(str(file), width=64)
                if st.button(file.stem, key=f"predict-{file.stem}", width=64):
                    st.session_state["predict-sample"] = file.name
    chosen = next((file for file in samples if file.name == st.session_state.get("predict-sample")), None)
    return (chosen.name, chosen.read_bytes()) if chosen else None


def _answer(name: str, content: bytes) -> None:
    try:
        said = _ask(content)
    except NoModelYet as error:
        st.info(f"**No model yet.** {error}", icon=":material/hourglass_top:")
        return
    except AnswerError as error:
        st.error(f"**{error.title}.** {error} {error.advice}", icon=":material/error:")
        return
    st.image(content, width=160, caption=name)  # only now: the peer has seen that it is a picture, and not too large a one
    prediction = said.predictions[0]
    st.markdown(f"### {prediction.name} :gray[with {percent(prediction.confidence)}]")
    chart(top_classes(prediction, present_ink()), "predict-top", top_classes_height(prediction), "Confidence of the likeliest classes")
    st.caption(f"Said by the model of round **{said.round}**, digest `{said.digest[:12]}`.")


def _ask(content: bytes) -> Predictions:
    found = shared.follower()
    if found is None:
        raise AnswerError("No peer is asked.", "Connect first.")
    with found.api() as api:
        return api.predict(content, "application/octet-stream")

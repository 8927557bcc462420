"""The form that asks for a peer's address and the swarm's token."""

from __future__ import annotations

import streamlit as st

from streamlit_app.connection import shared
from streamlit_app.connection.targets import Target

__all__ = ["connect_form"]


def connect_form(title: str, text: str) -> None:
    """Whoever is chosen here is looked at in this session only. A token is sent to no address that was not typed beside it."""
    with st.form("connect", border=True):
        st.subheader(title)
        if text:
            st.markdown(text)
        address = st.text_input(
            "Address of a peer", value=_from_link(), placeholder="127.0.0.1:7780", help="As given to `pyfl peer --http`."
        )
        token = st.text_input("Token", type="password", help="The content of `http.token` in the data directory of any peer of the swarm.")
        if st.form_submit_button("Connect", type="primary"):
            typed = tuple(part for part in address.replace(",", " ").split() if part)
            if not typed:
                st.error("An address is needed: HOST:PORT, as in 127.0.0.1:7780.")
            else:
                shared.choose(Target(typed, token.strip()))
                st.rerun()


def _from_link() -> str:
    """`?peer=HOST:PORT` in the page's address; it only fills in the form, so that a link cannot send the token anywhere."""
    return st.query_params.get("peer", "")

"""One follower for all sessions that look at the same swarm, and the address that a session chose in the form."""

from __future__ import annotations

import os
import sys

import streamlit as st

from streamlit_app.connection.follower import Follower
from streamlit_app.connection.picture import Picture
from streamlit_app.connection.targets import Target, read_target

__all__ = ["choose", "chosen", "follower", "forget", "picture"]

_CHOSEN = "pyfl-target"
MOST_SWARMS = 8


@st.cache_resource(show_spinner=False, max_entries=MOST_SWARMS, on_release=Follower.close)
def _shared(addresses: tuple[str, ...], token: str, token_file: str) -> Follower:
    return Follower(Target(addresses, token, token_file))


def chosen() -> Target:
    """The session's own choice, else what the dashboard was started with."""
    own = st.session_state.get(_CHOSEN)
    return own if isinstance(own, Target) else _given()


@st.cache_resource(show_spinner=False, ttl=5.0)
def _given() -> Target:
    """Looked up now and then: the peer of a data directory may start later."""
    return read_target(sys.argv[1:], os.environ)


def choose(target: Target) -> None:
    """Look at this swarm in this session."""
    st.session_state[_CHOSEN] = target


def forget() -> None:
    """Back to what the dashboard was started with."""
    st.session_state.pop(_CHOSEN, None)


def follower() -> Follower | None:
    """The follower of the session's swarm; None while there is no address."""
    target = chosen()
    return _shared(target.addresses, target.token, target.token_file) if target.addresses else None


def picture() -> Picture:
    """What is known of the session's swarm now."""
    found = follower()
    return found.picture() if found is not None else Picture()

"""The way in: `streamlit run streamlit_app/dashboard.py`, or `pyfl dashboard`."""

from __future__ import annotations

import sys
from pathlib import Path

# Streamlit puts this file's folder on the path, and imports want the one above it.
ABOVE = str(Path(__file__).resolve().parent.parent)
if ABOVE not in sys.path:
    sys.path.insert(0, ABOVE)

import streamlit as st  # noqa: E402

from streamlit_app.app_pages import PAGES  # noqa: E402
from streamlit_app.app_pages.sidebar import sidebar  # noqa: E402

PICTURES = Path(__file__).resolve().parent / "pictures"

st.set_page_config(page_title="pyfl", page_icon=str(PICTURES / "icon.png"), layout="wide")
st.logo(str(PICTURES / "logo.svg"), icon_image=str(PICTURES / "icon.png"), size="large")
page = st.navigation([st.Page(run, title=title, icon=icon, url_path=path) for path, title, icon, run in PAGES], position="sidebar")
st.html(
    "<style>[data-testid=stMainBlockContainer] { padding-left: clamp(1rem, 3vw, 4rem); padding-right: clamp(1rem, 3vw, 4rem); }</style>"
)
sidebar()
page.run()

"""The pages: they draw what `figures` computes from what `connection` knows, and do nothing else."""

from __future__ import annotations

from collections.abc import Callable

from streamlit_app.app_pages import events, learning, peers, predict, rounds, swarm

__all__ = ["PAGES"]

PAGES: tuple[tuple[str, str, str, Callable[[], None]], ...] = (
    ("swarm", "Swarm", ":material/hub:", swarm.page),
    ("peers", "Peers", ":material/group:", peers.page),
    ("learning", "Learning", ":material/trending_up:", learning.page),
    ("rounds", "Rounds", ":material/view_timeline:", rounds.page),
    ("events", "Events", ":material/list_alt:", events.page),
    ("predict", "Predict", ":material/image_search:", predict.page),
)
"""(path, title, icon, what draws it); the first is shown first."""

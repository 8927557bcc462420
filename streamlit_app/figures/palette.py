"""Colours, told apart also by people who see fewer of them (after Okabe and Ito), and what each phase is called."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BOLD", "GOOD", "PHASES", "Ink", "Phase", "ink", "peer_colour", "phase_of"]


@dataclass(frozen=True, slots=True)
class Phase:
    """What a peer does: its colour, its word, and a sentence for those who ask."""

    colour: str
    called: str
    means: str


PHASES: dict[str, Phase] = {
    "training": Phase("#2f7ed8", "training", "learns from its own data"),
    "reducing": Phase("#f0a020", "adding up", "sends and adds updates, segment by segment"),
    "holding": Phase("#1fa97c", "holding", "has the round's model"),
    "waiting": Phase("#94a0ae", "waiting", "is ready and waits for others"),
    "joining": Phase("#a37bd1", "joining", "fetches the model before it takes part"),
    "suspected": Phase("#d9480f", "suspected", "has not been heard of for a while"),
    "gone": Phase("#94a0ae", "gone", "left or died"),
}
BOLD = "#1f6feb"  # the swarm as a whole
GOOD = "#1fa97c"
_PEERS = (
    "#f0a020", "#1fa97c", "#d9480f", "#a37bd1", "#3ab8c9", "#c2578f", "#8a9a28", "#5c6bc0", "#b5803a", "#4f9d69", "#9a6fb0", "#7d8ea3",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ink:
    """What text and lines are drawn with on the present background."""

    text: str
    soft: str
    line: str
    paper: str


def ink(*, dark: bool) -> Ink:
    """For a light or a dark page."""
    return Ink("#e6ebf2", "#93a1b3", "#33404f", "#0f141b") if dark else Ink("#1b2430", "#66748a", "#d5dce5", "#ffffff")


def phase_of(name: str) -> Phase:
    """The phase of that name; one that is not known yet looks like waiting and keeps its name."""
    return PHASES.get(name) or Phase(PHASES["waiting"].colour, name, name)


def peer_colour(place: int) -> str:
    """A colour that stays with a peer's place."""
    return _PEERS[place % len(_PEERS)]

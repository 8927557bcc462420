"""Events as rows of a table, filtered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from pyfl.events import Stamped
from pyfl.narrator import Narrator

__all__ = ["KINDS", "event_rows", "kind_of"]

KINDS: dict[str, tuple[str, ...]] = {
    "rounds": ("round_opened", "reduce_started", "round_committed", "run_adopted", "run_finished"),
    "training": ("training_started", "training_ended"),
    "models": ("result_held", "model_installed", "pull_started"),
    "peers": ("peer_joined", "peer_left", "peer_removed", "coordinator_changed"),
    "trouble": ("fault", "link_accused", "link_routed", "waiting", "peer_removed", "peer_left"),
    "resources": ("resources_used",),
}


def kind_of(stamped: Stamped) -> str:
    """The tag of an event, as `events.jsonl` has it."""
    return str(type(stamped.data).__struct_config__.tag)


def event_rows(
    told: Sequence[Stamped], names: Mapping[str, str], kinds: Collection[str] = (), peers: Collection[str] = (), most: int = 500
) -> dict[str, list[object]]:
    """Columns by their headings, the newest event first, at most `most`. `kinds`: keys of `KINDS`, `peers`: ids; empty: all."""
    wanted = {tag for kind in kinds for tag in KINDS[kind]}
    found: list[Stamped] = []
    for stamped in reversed(told):
        if (not wanted or kind_of(stamped) in wanted) and (not peers or stamped.peer in peers):
            found.append(stamped)
            if len(found) == most:
                break
    narrator = Narrator(names)
    return {
        "Time": [datetime.fromtimestamp(stamped.time, UTC) for stamped in found],
        "Peer": [narrator.name(stamped.peer) for stamped in found],
        "What": [narrator.sentence(stamped.data) for stamped in found],
        "Kind": [kind_of(stamped) for stamped in found],
        "No.": [stamped.id for stamped in found],
    }

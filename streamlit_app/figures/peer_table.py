"""The table of peers, and what one of them has done."""

from __future__ import annotations

from collections.abc import Sequence

from pyfl.peer.status import Local
from streamlit_app.connection.picture import Picture, SeenPeer
from streamlit_app.figures.palette import phase_of

__all__ = ["PEER_COLUMNS", "history_table", "peer_table"]

PEER_COLUMNS = ("Peer", "Does", "Role", "Model", "Samples", "Samples/s", "Loss", "Sent", "Received", "Memory", "Site", "Address")
MEGA = 1_000_000


def peer_table(picture: Picture, peers: Sequence[SeenPeer]) -> dict[str, list[object]]:
    """Columns by their headings, one row for each of `peers` in their order. None where a peer does not tell."""
    rows = [_row(seen, picture.locals.get(seen.entry.peer)) for seen in peers]
    return {column: [row[number] for row in rows] for number, column in enumerate(PEER_COLUMNS)}


def _row(seen: SeenPeer, local: Local | None) -> Sequence[object]:
    entry = seen.entry
    last = local.trained[-1] if local and local.trained else None
    used = local.resources if local else None
    site = " / ".join(filter(None, (entry.labels.get("region", ""), entry.labels.get("site", ""))))
    return (
        seen.called,
        seen.gone or phase_of(seen.phase).called,
        "" if seen.gone else "coordinator" if entry.coordinator else "voter" if entry.voter else "",
        entry.have if entry.have >= 0 else None,
        last.samples if last else entry.samples or None,
        round(last.samples_per_s) if last else None,
        last.loss if last else None,
        used.bytes_sent / MEGA if used else None,
        used.bytes_received / MEGA if used else None,
        used.rss_bytes / MEGA if used else None,
        site,
        entry.address,
    )


def history_table(local: Local, contributed: dict[int, bool]) -> dict[str, list[object]]:
    """What a peer trained, the newest first; `contributed`: whether a committed round counted it."""
    newest = sorted(local.trained, key=lambda trained: trained.round, reverse=True)
    return {
        "Round": [trained.round for trained in newest],
        "Counted": [_counted(contributed.get(trained.round), finite=trained.finite) for trained in newest],
        "Samples": [trained.samples for trained in newest],
        "Loss": [trained.loss for trained in newest],
        "Time": [trained.train_s for trained in newest],
        "Samples/s": [round(trained.samples_per_s) for trained in newest],
    }


def _counted(counted: bool | None, *, finite: bool) -> str:
    if not finite:
        return "NaN or infinity: not sent"
    return "–" if counted is None else "yes" if counted else "no"

"""Who votes, asked of a peer that is well."""

from __future__ import annotations

from collections.abc import Iterable

from pyfl.chaos.process import ChaosPeer
from pyfl.errors import PyflError
from pyfl.peer.status import Status
from pyfl.serving.client import PeerClient

__all__ = ["ask", "voters_of"]


def ask(peer: ChaosPeer) -> Status | None:
    """What a peer says of itself over its socket; None if it does not answer."""
    try:
        with PeerClient(peer.data_dir) as client:
            return client.status()
    except PyflError:
        return None  # a peer that dies while it is asked: the next is asked


def voters_of(peers: Iterable[ChaosPeer]) -> frozenset[str]:
    """The ids of the committee by the first of `peers` that answers; empty if none does."""
    for peer in peers:
        status = ask(peer)
        if status is not None and status.voters:
            return frozenset(status.voters)
    return frozenset()

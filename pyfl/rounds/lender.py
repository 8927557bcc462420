"""Giving a model that this peer holds to peers that lack it, segment by segment. The taking side is `pull`.

Pure. A puller opens, is offered the segments' digests, and says which segments it has posted receives for. What is lent from
the result's memory ends when that memory is written again; what is lent from the base, when a newer model replaces it.
"""

from __future__ import annotations

from pyfl.rounds.actions import Action, Built, Offer, Place, PostSend, Say, SegmentTag
from pyfl.rounds.messages import PullOffer, PullWant

__all__ = ["Lender"]

PULLS_OF_A_PEER = 4  # that are served at a time; an honest peer has one


class Lender:
    """The open pulls of others, and the segments on their way to them."""

    def __init__(self) -> None:
        self._pullers: dict[tuple[str, int], str] = {}
        """The buffer, base or result, that each (peer, pull) is served from."""
        self._sending: dict[tuple[str, int, int, int], str] = {}
        """The same for each (peer, pull, vector, segment) on its way."""

    def open(self, peer: str, pull: int, buffer: str) -> list[Action]:
        """Serve a pull from a buffer; a peer's oldest makes room."""
        for old in [key for key in self._pullers if key[0] == peer][: -PULLS_OF_A_PEER + 1]:
            del self._pullers[old]
        self._pullers[peer, pull] = buffer
        return [Offer(peer, pull, buffer)]

    def wanted(self, peer: str, message: PullWant, sizes: Built) -> list[Action]:
        """A puller has posted receives for these segments. Wishes are repeated, as a message may be lost; each is sent once."""
        buffer = self._pullers.get((peer, message.pull))
        if buffer is None:
            return [Say(peer, PullOffer(message.pull, False, why="no such pull is open here; open it again"))]
        actions: list[Action] = []
        for vector, segment in message.parts:
            served = (peer, message.pull, vector, segment)
            exists = 0 <= vector < len(sizes.shape) and 0 <= segment < sizes.shape[vector]
            if exists and served not in self._sending:
                self._sending[served] = buffer
                actions.append(PostSend(peer, SegmentTag("p", message.pull, 0, segment, vector), Place(buffer, segment, vector)))
        return actions

    def sent(self, peer: str, tag: SegmentTag) -> None:
        """A segment's send ended; it may be wished for again."""
        self._sending.pop((peer, tag.round, tag.vector, tag.segment), None)

    def forget_result(self) -> None:
        """The result's memory is about to be written again."""
        self._pullers = {key: buffer for key, buffer in self._pullers.items() if buffer == "base"}
        self._sending = {key: buffer for key, buffer in self._sending.items() if buffer == "base"}

    def supersede(self, number: int) -> list[Action]:
        """A newer model takes the base's place: tell whoever still pulls the old one."""
        told: list[Action] = [Say(peer, PullOffer(pull, False, why=f"superseded by round {number}")) for peer, pull in self._pullers]
        self._pullers.clear()
        self._sending.clear()
        return told

    def gone(self, peer: str) -> None:
        """A peer pulls no more."""
        self._pullers = {key: buffer for key, buffer in self._pullers.items() if key[0] != peer}
        self._sending = {key: buffer for key, buffer in self._sending.items() if key[0] != peer}

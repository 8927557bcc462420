"""Fetching a model in segments from peers that hold it, each segment checked against its digest before it counts.

Pure. Holders are asked two at a time; a holder that refuses, dies, stalls or sends wrong bytes is not asked again by this pull until
nobody else is left.
"""

from __future__ import annotations

from collections import deque

from pyfl.rounds.actions import Action, CheckPart, Part, PartChecked, Place, PostReceive, Say, SegmentTag, TransferEnded
from pyfl.rounds.messages import PullOffer, PullOpen, PullWant
from pyfl.wire import digests

__all__ = ["Pull", "combined_state"]

HOLDERS = 2
WINDOW = 4  # segments asked of one holder at a time
OFFER_S = 3.0
WANT_AGAIN_S = 2.0  # a wish is repeated when a holder was quiet for so long: the message may be lost
PART_S = 10.0


def combined_state(vectors: tuple[tuple[bytes, ...], ...]) -> str:
    """The digest of a server state from its vectors' segment digests; of no vectors too."""
    return digests.combine_vectors(vectors)


class Pull:
    """One model being fetched: committed (epoch 0) or the uncommitted result of an epoch."""

    def __init__(
        self,
        number: int,
        round: int,  # noqa: A002 - the field's word
        epoch: int,
        model: str,
        state: str,
        shape: tuple[int, ...],
        candidates: list[str],
        *,
        look: bool = False,
    ) -> None:
        """`shape`: the segments of each vector, of the model and then of the server state.

        `look`: much of it may be in the result's memory already; what has the right digest is not fetched.
        """
        self.number, self.round, self.epoch = number, round, epoch
        self._shape = shape
        self.model, self.state = model, state
        self.progress = 1
        """Segments that came, and one for having begun."""
        self._fresh = deque(candidates)
        self._asked: dict[str, float] = {}
        self._offers: dict[str, tuple[tuple[bytes, ...], ...]] = {}
        self._expected: tuple[tuple[bytes, ...], ...] | None = None
        self._wanted: deque[Part] = deque()
        self._out: dict[Part, str] = {}
        self._wished: dict[str, float] = {}
        self._missing = -1
        self._look = look
        self.here = f"this peer's memory, pull {number}"
        """In the place of a holder: what is looked at and not fetched."""

    @property
    def done(self) -> bool:
        """Every segment is here and checked."""
        return self._missing == 0

    @property
    def exhausted(self) -> bool:
        """Nobody is left to ask."""
        return not self.done and not self._fresh and not self._asked and not self._offers

    def advance(self, now: float) -> list[Action]:
        """Ask further holders where too few answer."""
        actions: list[Action] = []
        for peer in [p for p, since in self._asked.items() if now - since > OFFER_S]:
            del self._asked[peer]
        while self._fresh and len(self._asked) + len(self._offers) < HOLDERS:
            peer = self._fresh.popleft()
            self._asked[peer] = now
            actions.append(Say(peer, PullOpen(self.number, self.round, self.model, self.state)))
        for peer in self._offers:
            parts = tuple((part.vector, part.segment) for part, holder in self._out.items() if holder == peer)
            if parts and now - self._wished.get(peer, now) >= WANT_AGAIN_S:
                self._wished[peer] = now
                actions.append(Say(peer, PullWant(self.number, parts)))
        return actions

    def again(self, candidates: list[str], now: float) -> list[Action]:
        """Nobody was left to ask: ask whoever is here now. What has been fetched stays."""
        self._fresh = deque(candidates)
        return self.advance(now)

    def offered(self, peer: str, offer: PullOffer, now: float) -> list[Action]:
        """A holder answered, or withdrew."""
        if offer.pull != self.number or (peer not in self._asked and peer not in self._offers):
            return []
        self._asked.pop(peer, None)
        if not offer.ok or not self._genuine(offer):
            return self.lost(peer, now)
        self._offers[peer] = offer.vectors
        if self._expected is None:
            self._expected = offer.vectors
            parts = [Part(v, s) for v, vector in enumerate(offer.vectors) for s in range(len(vector))]
            self._missing = len(parts)
            if self._look:
                self._out = dict.fromkeys(parts, self.here)
                return [CheckPart(part, offer.vectors[part.vector][part.segment], self.here) for part in parts]
            self._wanted = deque(parts)
        return self._ask(peer, now)

    def _genuine(self, offer: PullOffer) -> bool:
        shaped = tuple(map(len, offer.vectors)) == self._shape
        return (
            shaped
            and all(len(d) == digests.DIGEST_BYTES for vector in offer.vectors for d in vector)
            and (digests.combine(offer.vectors[0]) == self.model and combined_state(offer.vectors[1:]) == self.state)
        )

    def _ask(self, peer: str, now: float) -> list[Action]:
        actions: list[Action] = []
        parts: list[tuple[int, int]] = []
        busy = sum(1 for holder in self._out.values() if holder == peer)
        while self._wanted and busy + len(parts) < WINDOW:
            part = self._wanted.popleft()
            self._out[part] = peer
            parts.append((part.vector, part.segment))
            place = Place("result", part.segment, part.vector)
            actions.append(PostReceive(peer, self._tag(part), place, timeout_s=PART_S))
        self._wished[peer] = now
        if parts:
            actions.append(Say(peer, PullWant(self.number, tuple(parts))))
        return actions

    def _tag(self, part: Part) -> SegmentTag:
        return SegmentTag("p", self.number, 0, part.segment, part.vector)

    def ended(self, transfer: TransferEnded, now: float) -> list[Action]:
        """A receive of this pull ended."""
        part = Part(transfer.tag.vector, transfer.tag.segment)
        if self._out.get(part) != transfer.peer or self._expected is None:
            return []
        if not transfer.ok:
            del self._out[part]
            self._wanted.appendleft(part)
            return self.lost(transfer.peer, now)
        return [CheckPart(part, self._expected[part.vector][part.segment], transfer.peer)]

    def checked(self, check: PartChecked, now: float) -> list[Action]:
        """A segment was compared with its digest."""
        if self._out.get(check.part) != check.peer:
            return []
        del self._out[check.part]
        if check.peer == self.here:
            self._missing -= check.ok
            self._wanted.extend([] if check.ok else [check.part])
            return [action for holder in list(self._offers) for action in self._ask(holder, now)]
        if not check.ok:
            self._wanted.appendleft(check.part)
            return self.lost(check.peer, now)
        self._missing -= 1
        self.progress += 1
        return self._ask(check.peer, now) if check.peer in self._offers else []

    def lost(self, peer: str, now: float) -> list[Action]:
        """A holder is of no use any more; what was asked of it is asked of others once its receives have ended."""
        self._asked.pop(peer, None)
        self._offers.pop(peer, None)
        self._fresh = deque(p for p in self._fresh if p != peer)
        actions = self.advance(now)
        for other in list(self._offers):
            actions.extend(self._ask(other, now))
        return actions

"""The answer that `pyfl.peer.status` has no type for, and what can go wrong on the way."""

from __future__ import annotations

from typing import ClassVar

import msgspec

__all__ = [
    "AnswerError",
    "NoModelYet",
    "NotAPeer",
    "PeerSilent",
    "Refused",
    "Tree",
    "WrongToken",
]


class Tree(msgspec.Struct, frozen=True):
    """`/v1/tree`: each member's parent for one segment; empty before the first reduce."""

    segment: int = 0
    root: str = ""
    parent: dict[str, str] = {}


class AnswerError(Exception):
    """The API gave no answer that can be shown. The text says what happened, `advice` what to do."""

    title: ClassVar[str] = "No answer"

    def __init__(self, text: str, advice: str) -> None:
        super().__init__(text)
        self.advice = advice


class PeerSilent(AnswerError):
    """Nobody listens at that address, or not in time."""

    title = "No peer answers"


class NotAPeer(AnswerError):
    """Somebody answers at that address who is not the HTTP API of a peer."""

    title = "This is not a peer's HTTP API"


class WrongToken(AnswerError):
    """The peer does not accept the token."""

    title = "The peer does not accept the token"


class NoModelYet(AnswerError):
    """There is no committed model to ask yet."""

    title = "No model yet"


class Refused(AnswerError):
    """The peer refused this request: too large, unreadable, too often."""

    title = "Refused"

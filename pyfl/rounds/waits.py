"""What a peer waits for, until when, and what happens then."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Wait", "first_of"]


@dataclass(frozen=True, slots=True)
class Wait:
    """`what`, by name: empty, nothing. `until_s`: seconds until a rule ends the wait; None where only a peer or an operator can.

    `then`: what happens when it does, if nothing comes before.
    """

    what: str = ""
    until_s: float | None = None
    then: str = ""


def first_of(what: str, rules: list[tuple[float, str]]) -> Wait:
    """The wait that the first of these rules ends: (seconds left, what it does). A rule whose time is over ends nothing any more."""
    left = min((rule for rule in rules if rule[0] >= 0), default=None)
    return Wait(what, *left) if left else Wait(what)

"""Whom a fault hits, and whether it may: never the committee's majority at once, but for what is meant to. Pure."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from pyfl.chaos.plan import NETWORK_KINDS, Planned

__all__ = ["Swarm", "choose"]

WANTS_EVERYONE = NETWORK_KINDS | {"power"}
"""These begin only when all peers are well: what they do to the committee follows from their shape, not from what was before."""


class Swarm(msgspec.Struct, frozen=True):
    """Peers by index. `well`: nothing was done to them, or they have held the newest model since."""

    peers: int
    well: frozenset[int]
    voters: frozenset[int]
    coordinator: int | None


def choose(planned: Planned, swarm: Swarm) -> tuple[int, ...] | None:
    """The victims, or None while nobody may be hit. Of a partition: one side; of a one-way cut: whose packets are lost first."""
    if planned.kind in WANTS_EVERYONE and len(swarm.well) < swarm.peers:
        return None
    if planned.kind == "power":
        return tuple(range(swarm.peers))
    first = _pick(planned, swarm, swarm.well)
    if first is None:
        return None
    others = sorted(swarm.well - {first})
    turned = others[int(planned.at * len(others)) :] + others[: int(planned.at * len(others))]
    if planned.kind == "link":
        return (first, turned[0])
    if planned.kind == "partition":
        size = _side(planned.shape, swarm.peers)
        return (first, *sorted(turned[: size - 1]))
    if planned.kind == "slow":
        return (first,)
    return (first,) if _may_miss(first, swarm) else None


def _pick(planned: Planned, swarm: Swarm, among: Collection[int]) -> int | None:
    leader = swarm.coordinator
    if planned.coordinator and leader in among:
        return leader
    rest = [index for index in sorted(among) if index != leader] or sorted(among)
    return rest[int(planned.pick * len(rest))] if rest else None


def _side(shape: str, peers: int) -> int:
    """How many are on the first side of a partition."""
    first, colon, _ = shape.partition(":")
    return int(first) if colon else {"half": peers // 2, "third": max(1, peers // 3)}.get(shape, 1)


def _may_miss(victim: int, swarm: Swarm) -> bool:
    left = swarm.well - {victim}
    return 2 * len(left & swarm.voters) > len(swarm.voters) and 2 * len(left) > swarm.peers

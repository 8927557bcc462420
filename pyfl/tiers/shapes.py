"""The shapes of a swarm's tiers, as values: rotated trees, one tree, chain, star, direct exchange."""

from __future__ import annotations

import difflib

import msgspec

from pyfl.errors import ConfigError

__all__ = ["Tiers", "chain", "direct", "parse", "rotated", "star", "tree"]

ALL = 0  # as many as there are members


class Tiers(msgspec.Struct, frozen=True):
    """`trees` k-ary trees over the members; segment s uses tree s modulo their number.

    `branching` 0 means N - 1, `trees` 0 means min(N, 4 k).
    """

    branching: int = 4
    trees: int = ALL

    def __post_init__(self) -> None:
        if not 0 <= self.branching <= 10_000 or not 0 <= self.trees <= 10_000:
            raise ValueError(f"tiers have branching {self.branching} and {self.trees} trees; expected 0 to 10000 of each")

    def resolve(self, members: int) -> tuple[int, int]:
        """(k, number of trees) for `members` slots."""
        k = self.branching or max(1, members - 1)
        trees = min(members, self.trees or 4 * k)
        return k, max(1, trees)

    def __str__(self) -> str:
        for name, shape in _NAMED.items():
            if shape == self:
                return name
        return f"rotated:{self.branching}" if self.trees == ALL else f"tree:{self.branching}"


def rotated(k: int = 4) -> Tiers:
    """min(N, 4 k) rotated k-ary trees: every peer is interior for about 1/k of the segments."""
    return Tiers(branching=k)


def tree(k: int = 4) -> Tiers:
    """One k-ary tree, the classic multi-tier system; best for small models."""
    return Tiers(branching=k, trees=1)


def chain() -> Tiers:
    """Rotated chains (k = 1)."""
    return Tiers(branching=1)


def star() -> Tiers:
    """One member is everyone's parent; for comparison."""
    return Tiers(branching=ALL, trees=1)


def direct() -> Tiers:
    """Every member is the root of some segments and a leaf of the others: reduce-scatter and all-gather."""
    return Tiers(branching=ALL)


_NAMED = {"chain": chain(), "star": star(), "direct": direct()}


def parse(text: str) -> Tiers:
    """Read `rotated`, `rotated:4`, `tree:4`, `chain`, `star` or `direct`; raises `ConfigError` naming the choices."""
    if text in _NAMED:
        return _NAMED[text]
    name, _, argument = text.partition(":")
    if name in ("rotated", "tree") and (not argument or (argument.isdigit() and int(argument) >= 1)):
        k = int(argument) if argument else 4
        return rotated(k) if name == "rotated" else tree(k)
    near = difflib.get_close_matches(name, ("rotated", "tree", *_NAMED), 1)
    hint = f" Did you mean {near[0]!r}?" if near and near[0] != name else ""
    raise ConfigError(f"tiers {text!r} are unknown; expected rotated[:k], tree[:k], chain, star or direct with k of 1 or more.{hint}")

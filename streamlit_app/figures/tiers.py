"""The tiers of one segment's tree: how far each peer is from the root."""

from __future__ import annotations

from collections.abc import Mapping

from streamlit_app.connection.answers import Tree

__all__ = ["depths", "tier_points"]

Point = tuple[float, float]


def depths(tree: Tree) -> dict[str, int]:
    """0 for the root; peers whose way up is not known are left out."""
    found: dict[str, int] = {tree.root: 0} if tree.root else {}
    for peer in tree.parent:
        way: list[str] = []
        at = peer
        while at not in found and at in tree.parent and at not in way:
            way.append(at)
            at = tree.parent[at]
        if at in found:
            for step, below in enumerate(reversed(way), 1):
                found[below] = found[at] + step
    return found


def tier_points(tree: Tree, order: Mapping[str, int]) -> dict[str, Point]:
    """A point for each member, tiers from top to bottom, children below their parents; `order` settles who is left of whom.

    In the unit square around 0, as the places of the other view.
    """
    deep = depths(tree)
    children: dict[str, list[str]] = {}
    for peer in sorted(deep, key=lambda peer: order.get(peer, 0)):
        if peer != tree.root:
            children.setdefault(tree.parent[peer], []).append(peer)
    column: dict[str, float] = {}
    leaves = 0

    def put(peer: str) -> float:
        nonlocal leaves
        below = [put(child) for child in children.get(peer, ())]
        if not below:
            leaves += 1
        column[peer] = sum(below) / len(below) if below else leaves - 1.0
        return column[peer]

    if tree.root:
        put(tree.root)
    widest, deepest = max(1, leaves - 1), max(1, max(deep.values(), default=1))
    return {peer: (2 * column[peer] / widest - 1 if leaves > 1 else 0.0, 1 - 2 * deep[peer] / deepest) for peer in column}

"""Tiers: pure functions from a round's record to who sends what to whom."""

from pyfl.tiers.plan import Plan, plan_segment
from pyfl.tiers.shapes import Tiers, chain, direct, parse, rotated, star, tree

__all__ = ["Plan", "Tiers", "chain", "direct", "parse", "plan_segment", "rotated", "star", "tree"]

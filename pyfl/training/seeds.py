"""Randomness of local training, derived from (seed, round, attempt, peer): training again gives the same again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from pyfl.training.trainer import RoundInfo

__all__ = ["generator"]


def generator(info: RoundInfo, purpose: str) -> np.random.Generator:
    """Make a generator for one purpose ("order", "layers" ...) in one attempt at one round by one peer."""
    key = msgspec.msgpack.encode([info.seed, info.number, info.attempt, info.peer, purpose])
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest(), "big"))

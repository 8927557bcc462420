"""Digests of models: BLAKE3 over the segments' BLAKE3 (https://github.com/BLAKE3-team/BLAKE3-specs).

A peer that pulls a model checks the list of segment digests against the model's digest once, then each segment as it comes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from pyfl.wire.segments import cut

__all__ = ["DIGEST_BYTES", "combine", "combine_vectors", "of_model", "of_segment", "of_vector"]

DIGEST_BYTES = 32


def of_segment(values: NDArray[np.float32]) -> bytes:
    """The 32-byte digest of one segment's little-endian float32 values."""
    return blake3(values.view(np.uint8).data).digest()


def combine(segments: Sequence[bytes]) -> str:
    """The digest of a whole from its segments' digests, as 64 hexadecimal characters."""
    return blake3(b"".join(segments)).hexdigest()


def combine_vectors(vectors: Sequence[Sequence[bytes]]) -> str:
    """The digest of a server state from its vectors' segment digests; of no vectors too."""
    return combine([bytes.fromhex(combine(vector)) for vector in vectors])


def of_model(model: NDArray[np.float32], state: Sequence[NDArray[np.float32]]) -> tuple[str, str]:
    """The digests of a flat model and of its server state."""
    return combine(of_vector(model)), combine_vectors([of_vector(v) for v in state])


def of_vector(values: NDArray[np.float32]) -> list[bytes]:
    """The segment digests of a flat float32 vector."""
    return [of_segment(values[s.start : s.stop]) for s in cut(values.size)]

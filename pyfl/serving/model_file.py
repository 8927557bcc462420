"""A committed model as a safetensors file, without a second copy: its data is the flat vector as it is.

The format: 8 bytes little-endian length, a JSON header with type, shape and offsets of each tensor, then the data.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyfl.peer.held_model import HeldModel

__all__ = ["pieces", "safetensors_header"]

PIECE_BYTES = 256 * 1024
ALIGNMENT = 8


def safetensors_header(held: HeldModel) -> bytes:
    """Length and header, up to where the data begins."""
    saved = held.saved
    about = {"run": saved.run, "app": saved.app, "round": str(saved.round), "digest": saved.model}
    header: dict[str, object] = {"__metadata__": about | {f"option.{name}": value for name, value in saved.options.items()}}
    for tensor, (start, stop) in zip(held.layout.tensors, pairwise((held.layout.bounds * 4).tolist()), strict=True):
        header[tensor.name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": (start, stop)}
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


async def pieces(header: bytes, weights: NDArray[np.float32]) -> AsyncIterator[bytes]:
    """The file's bytes, a quarter of a MiB at a time."""
    yield header
    data = weights.astype("<f4", copy=False).view(np.uint8).data
    for start in range(0, len(data), PIECE_BYTES):
        yield bytes(data[start : start + PIECE_BYTES])

"""CIFAR-10 for the tests that have it beside the repository, unpacked from JPEGs; without it they skip and say why."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

__all__ = ["unpacked"]

PACKED = Path(__file__).parents[2] / "shared" / "data" / "cifar10_jpeg.npz"


def unpacked(directory: Path, train: int = 50_000, test: int = 10_000) -> Path:
    """An .npz in `directory` with the first so many images: x uint8[N, 32, 32, 3], y int[N]."""
    if not PACKED.exists():
        pytest.skip(f"no {PACKED}: CIFAR-10's images are not part of the repository")
    arrays: dict[str, Any] = {}
    with np.load(PACKED) as archive:
        for split, count in (("train", train), ("test", test)):
            content, offsets = archive[f"jpeg_{split}"].tobytes(), archive[f"offsets_{split}"][: count + 1]
            pictures = [Image.open(io.BytesIO(content[a:b])).convert("RGB") for a, b in itertools.pairwise(offsets)]
            arrays[f"x_{split}"] = np.stack([np.asarray(picture, np.uint8) for picture in pictures])
            arrays[f"y_{split}"] = archive[f"y_{split}"][:count]
    place = directory / "cifar10.npz"
    np.savez(place, **arrays)
    return place

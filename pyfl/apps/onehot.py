"""One-hot probes: the sum of all updates tells who was counted, and how often (protocol.md, I3). Needs no framework."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import numpy as np

from pyfl.apps.app import App, Assignment, Option
from pyfl.errors import AppError
from pyfl.training.layout import Layout, TensorSpec
from pyfl.training.trainer import Evaluation, Flat, RoundInfo, TrainOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = ["OneHotTrainer", "app", "read_probes"]

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


class OneHotTrainer:
    """Adds 1.0 at coordinate `coordinate` of every `stride` values, and nothing elsewhere.

    With a stride below the length of a segment every segment carries probes. Takes `train_s` seconds a round, or until
    `stop`; reports `samples` samples, so that every contributor weighs the same.
    """

    def __init__(self, size_bytes: int, coordinate: int, *, stride: int, tensors: int, train_s: float, samples: int) -> None:
        values = size_bytes // 4
        if not 1 <= tensors <= values:
            raise AppError(f"onehot: {size_bytes} bytes do not make {tensors} tensors of float32; expected 1 to {values}.")
        if not 0 <= coordinate < stride <= values:
            raise AppError(f"onehot: coordinate {coordinate}, stride {stride}, {values} values; expected coordinate < stride <= values.")
        cuts = [values * place // tensors for place in range(tensors + 1)]
        self.layout = Layout(tuple(TensorSpec(f"tensor_{place}", (cuts[place + 1] - cuts[place],)) for place in range(tensors)))
        self._probe = slice(coordinate, None, stride)
        self._train_s = train_s
        self._samples = samples

    def initial(self, out: Flat) -> None:
        """All zeros, so that after one round the model is the mean of the probes."""
        out.fill(0.0)

    def train(self, base: Flat, out: Flat, info: RoundInfo, stop: Callable[[], bool]) -> TrainOutcome:  # noqa: ARG002
        """Write the base plus this peer's probes; see `FlatTrainer.train`."""
        end = time.monotonic() + self._train_s
        while (left := end - time.monotonic()) > 0 and not stop():
            time.sleep(min(left, 0.01))  # the work itself: nothing is waited for
        np.copyto(out, base)
        out[self._probe] += np.float32(1.0)
        return TrainOutcome(self._samples, {})

    def evaluate(self, weights: Flat, share: tuple[int, int]) -> Evaluation | None:  # noqa: ARG002
        """Nothing is held out."""
        return None


def read_probes(update: NDArray[np.floating], stride: int, peers: int) -> NDArray[np.float64]:
    """How often each peer was counted, read from its probes in `update` (the model after minus before).

    Returns float64[peers], 1/n for each of n equally weighted contributors and 0 for others. Raises `AppError` when the
    probes of one peer differ between strides by more than rounding, or a place that is nobody's has a value.
    """
    rows = update[: len(update) // stride * stride].reshape(-1, stride)
    first = rows[0].astype(np.float64)
    off = np.argwhere(np.abs(rows - first) > 1e-4)
    if len(off):
        row, column = (int(place) for place in off[0])
        raise AppError(f"Peer {column} was counted {rows[row, column]} in stride {row} but {first[column]} in stride 0; expected the same.")
    nobody = np.flatnonzero(np.abs(first[peers:]) > 1e-4)
    if len(nobody):
        raise AppError(f"Coordinate {peers + int(nobody[0])} was changed, though there are only {peers} peers.")
    return first[:peers]


def parse_size(text: str) -> int:
    """Bytes in `64MB`, `1.5 GiB` or `4096`."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?I?B)?\s*", text, re.IGNORECASE)
    if match is None or (match[2] or "B").upper() not in UNITS:
        raise AppError(f"Size {text!r} cannot be read; expected a number with a unit, such as 64MB or 4MiB.")
    return int(float(match[1]) * UNITS[(match[2] or "B").upper()])


def _trainer(assignment: Assignment, options: Mapping[str, Option]) -> OneHotTrainer:
    coordinate = int(options["coordinate"])
    return OneHotTrainer(
        parse_size(str(options["size"])),
        assignment.index if coordinate < 0 else coordinate,
        stride=int(options["stride"]),
        tensors=int(options["tensors"]),
        train_s=float(options["train_s"]),
        samples=int(options["samples"]),
    )


app = App(
    trainer=_trainer,
    # coordinate -1: the peer's index.
    options={"size": "1MB", "coordinate": -1, "stride": 4096, "tensors": 1, "train_s": 0.0, "samples": 1},
    local=frozenset({"coordinate", "train_s", "samples"}),
    positional="size",
)

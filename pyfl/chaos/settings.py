"""What a chaos run is told."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pyfl.chaos.plan import KINDS, NETWORK_KINDS
from pyfl.errors import ChaosError

__all__ = ["STRIDE", "ChaosSettings"]

STRIDE = 1024
"""Of the one-hot probes: the smallest model that `--mb` may ask for has one."""


class ChaosSettings(msgspec.Struct, frozen=True, kw_only=True):
    """See `pyfl chaos --help`. Raises `ChaosError` for what cannot be run."""

    directory: Path
    peers: int = 6
    rounds: int = 20
    faults: tuple[str, ...] = ("kill",)
    per_round: float = 1.0
    coordinator_share: float = 0.25
    app: str = "onehot"
    mb: float = 4.0
    train_s: float = 1.5
    seed: int = 0
    lasts_s: float = 12.0
    split: str = ""
    """The sizes of both sides of every partition, as `3:3`; empty: drawn. The first side has the coordinator if it is aimed at."""
    heal_after_s: float | None = None
    """So long every fault of the network lasts; None: by `lasts_s`."""
    durability: str = "full"
    give_up_s: float = 180.0
    """Without a commit though every fault has ended: the run is over, and has failed."""
    strategy: str = "fedavg"

    def __post_init__(self) -> None:
        if "power" in self.faults and self.durability != "full":
            raise ChaosError("--faults power wants --durability full: with relaxed, a power cut of everything may lose rounds.")
        if self.mb * 1e6 < 4 * STRIDE:
            raise ChaosError(f"--mb {self.mb:g} is too small for probes; expected at least {4 * STRIDE / 1e6:g}.")
        unknown = set(self.faults) - set(KINDS)
        if unknown:
            raise ChaosError(f"--faults: there is no {', '.join(sorted(unknown))}; expected some of {', '.join(KINDS)}.")
        if self.split:
            self._check_split()
        if self.heal_after_s is not None and not NETWORK_KINDS & set(self.faults):
            raise ChaosError(f"--heal-after is for {', '.join(sorted(NETWORK_KINDS))}; --faults names none of them.")

    def _check_split(self) -> None:
        if "partition" not in self.faults:
            raise ChaosError(f"--split {self.split} is the shape of partitions; --faults does not name partition.")
        sides = [int(side) if side.isdecimal() else 0 for side in self.split.split(":")]
        if len(sides) != 2 or min(sides) < 1 or sum(sides) != self.peers:
            raise ChaosError(f"--split {self.split}: expected two sides that are {self.peers} peers together, as {self.peers - 2}:2.")

    @property
    def probes(self) -> bool:
        """Whether the model itself says who is in it."""
        return self.app.partition(":")[0] == "onehot"

    @property
    def size_bytes(self) -> int:
        """Of the one-hot model."""
        return round(self.mb * 1e6) // 4 * 4

    @property
    def app_text(self) -> str:
        """The app with its options, as peers are told."""
        if self.app != "onehot":
            return self.app
        return f"onehot:size={self.size_bytes}B,stride={STRIDE},train_s={self.train_s:g}"

"""The swarm's metric over the rounds: which round is the best so far, and when waiting for a better one has been long enough.

Pure functions of committed rounds. What they remember is a `Best` in the history's record, so that neither a change of the coordinator
nor a restart of the whole swarm forgets it, and every peer that reads the record comes to the same decision.
"""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Literal

import msgspec

from pyfl.errors import ConfigError

if TYPE_CHECKING:
    from pyfl.rounds.history import Committed

__all__ = ["Best", "EarlyStopping", "Measure", "enough", "follow", "measured", "parse"]

Measure = Literal["training loss", "held-out loss", "accuracy"]
_RANK: dict[str, int] = {"training loss": 0, "held-out loss": 1, "accuracy": 2}
"""A better kind of measure begins anew; rounds with only a lesser one are as if they had none."""


class EarlyStopping(msgspec.Struct, frozen=True):
    """End the run when the swarm's `monitor` has not improved by more than `min_delta` in `patience` rounds.

    Void rounds and rounds in which it was not measured do not count. `mode` auto: accuracy should rise, loss should fall.
    """

    monitor: Literal["accuracy", "loss"] = "accuracy"
    patience: int = 5
    min_delta: float = 0.0
    mode: Literal["auto", "min", "max"] = "auto"

    def __post_init__(self) -> None:
        """Raise `ConfigError` for what cannot be meant."""
        if self.monitor not in ("accuracy", "loss"):
            raise ConfigError(f"early_stopping monitors {self.monitor!r}; expected accuracy or loss, those of the swarm.")
        if self.mode not in ("auto", "min", "max"):
            raise ConfigError(f"early_stopping has the mode {self.mode!r}; expected auto, min or max.")
        if self.patience < 1 or not math.isfinite(self.min_delta) or self.min_delta < 0:
            raise ConfigError(
                f"early_stopping has patience {self.patience} and min_delta {self.min_delta:g}; expected at least 1 round, and a number "
                "from 0."
            )

    def __str__(self) -> str:
        mode = "" if self.mode == "auto" else f",mode={self.mode}"
        return f"{self.monitor}:patience={self.patience},min_delta={self.min_delta:g}{mode}"


class Best(msgspec.Struct, frozen=True):
    """The best committed round so far, by the swarm's metric."""

    round: int
    value: float
    measure: Measure
    model: str
    """Its digest."""
    reference: float
    """The last value that was better by more than `min_delta`: what the next has to beat."""
    since: int = 0
    """Rounds measured since then."""

    def __str__(self) -> str:
        return f"{self.measure} {self.value:.4g} in round {self.round}"


def measured(committed: Committed, monitor: Literal["accuracy", "loss"] | None) -> tuple[Measure, float] | None:
    """What a round's metric is; None: it has none. Without a `monitor` accuracy, and where that is not known loss."""
    if committed.void:
        return None
    accuracy, loss = committed.accuracy, committed.loss
    if monitor != "loss" and accuracy is not None and math.isfinite(accuracy):
        return "accuracy", accuracy
    if monitor != "accuracy" and loss is not None and math.isfinite(loss):
        return ("held-out loss" if committed.scored else "training loss"), loss
    return None


def follow(best: Best | None, committed: Committed, rule: EarlyStopping | None = None) -> Best | None:
    """The best after one more committed round. Of equals the earlier stays."""
    found = measured(committed, rule.monitor if rule else None)
    if found is None:
        return best
    measure, value = found
    if best is None or _RANK[measure] > _RANK[best.measure]:
        return Best(committed.round, value, measure, committed.model, value)
    if measure != best.measure:
        return best
    sign = 1.0 if _rises(measure, rule) else -1.0
    if sign * (value - best.value) > 0:
        best = msgspec.structs.replace(best, round=committed.round, value=value, model=committed.model)
    if sign * (value - best.reference) > (rule.min_delta if rule else 0.0):
        return msgspec.structs.replace(best, reference=value, since=0)
    return msgspec.structs.replace(best, since=best.since + 1)


def _rises(measure: Measure, rule: EarlyStopping | None) -> bool:
    if rule is None or rule.mode == "auto":
        return measure == "accuracy"
    return rule.mode == "max"


def enough(best: Best | None, rule: EarlyStopping | None) -> str:
    """Why the run is to end now, naming metric, best round and value; empty while it goes on."""
    if best is None or rule is None or best.since < rule.patience:
        return ""
    by = f" by more than {rule.min_delta:g}" if rule.min_delta else ""
    return f"{best.measure} has not improved{by} for {best.since} rounds; the best is {best.value:.4g}, of round {best.round}"


def parse(text: str) -> EarlyStopping:
    """Read `accuracy`, or `loss:patience=5,min_delta=0.001,mode=min`. Raises `ConfigError`."""
    monitor, _, inner = text.partition(":")
    values: dict[str, str] = {}
    known = ("patience", "min_delta", "mode")
    for part in filter(None, inner.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in known or not equals:
            near = difflib.get_close_matches(key, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near and near[0] != key else ""
            raise ConfigError(f"early_stopping {text!r} has {part!r}; expected MONITOR:patience=N,min_delta=X,mode=MODE.{hint}")
        values[key] = value
    try:
        return msgspec.convert({"monitor": monitor.strip(), **values}, EarlyStopping, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"early_stopping {text!r}: {error}; expected accuracy or loss, as accuracy:patience=5,min_delta=0.001."
        ) from error

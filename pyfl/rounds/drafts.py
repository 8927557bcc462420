"""The next round record, drafted from the present one: open, close training, restart, commit. Pure functions of reports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from pyfl.aggregation import fixedpoint
from pyfl.rounds.history import Committed
from pyfl.rounds.kept import UNFINISHED, with_kept
from pyfl.rounds.messages import Held, Ready, Score
from pyfl.rounds.records import Member, RoundRecord, RunRecord, pack_exponents

__all__ = ["close_training", "commit", "committed_entry", "majority", "open_round", "reopen", "restart", "share_result", "void"]


def majority(count: int) -> int:
    """The least number that is more than half."""
    return count // 2 + 1


def open_round(run: RunRecord, before: RoundRecord, sure: set[str], arriving: set[str], deadline_s: float) -> RoundRecord:
    """Round r+1 opens for those sure to have its model and those that still fetch it; the round can do without the latter."""
    return RoundRecord(
        number=before.number + 1, epoch=1, phase="train", base_model=before.model, base_state=before.state,
        expected=tuple(sorted(sure | arriving)), min_contributors=run.min_contributors or majority(len(sure)),
        train_deadline_s=deadline_s, voids=before.voids,
    )  # fmt: skip


def reopen(run: RunRecord, record: RoundRecord, expected: set[str], deadline_s: float) -> RoundRecord:
    """The same round at a higher epoch and attempt, with whoever lives now."""
    return RoundRecord(
        number=record.number, epoch=record.epoch + 1, phase="train", attempt=record.attempt + 1,
        base_model=record.base_model, base_state=record.base_state, expected=tuple(sorted(expected)),
        min_contributors=run.min_contributors or majority(len(expected)), train_deadline_s=deadline_s, voids=record.voids,
    )  # fmt: skip


def close_training(
    record: RoundRecord, ready: Mapping[str, Ready], receivers: set[str], sites: Mapping[str, str], train_s: float
) -> RoundRecord:
    """Contributors, their weights and the common exponents are frozen."""
    contributors = sorted(ready)
    total = sum(ready[p].samples for p in contributors)
    shares = [ready[p].samples / total for p in contributors]
    announced = [ready[p].exponents for p in contributors]
    caps = fixedpoint.caps(announced, ready[contributors[0]].weight_exponents)
    everyone = sorted([*contributors, *receivers], key=lambda p: (sites.get(p, ""), p))
    members = tuple(
        Member(p, slot, ready[p].samples, pack_exponents(ready[p].exponents), sites.get(p, ""), ready[p].residual) if p in ready
        else Member(p, slot, site=sites.get(p, ""))
        for slot, p in enumerate(everyone)
    )  # fmt: skip
    return RoundRecord(
        number=record.number, epoch=record.epoch, phase="reduce", attempt=record.attempt, base_model=record.base_model,
        base_state=record.base_state, expected=tuple(everyone), min_contributors=record.min_contributors, members=members,
        slots=len(everyone), total_samples=total, caps=caps, exponents=fixedpoint.shared_exponents(announced, shares, caps),
        ratio_bits=fixedpoint.ratio_bits(total, total), voids=record.voids, train_s=train_s, loss=_mean_loss(ready.values()),
    )  # fmt: skip


def _mean_loss(ready: Iterable[Ready]) -> float | None:
    known = [(r.samples, r.loss) for r in ready if r.loss is not None and math.isfinite(r.loss)]
    total = sum(samples for samples, _ in known)
    return sum(samples * loss for samples, loss in known) / total if total else None


def restart(record: RoundRecord, without: set[str], avoid: set[tuple[int, int]], finished: Mapping[str, bytes] = UNFINISHED) -> RoundRecord:
    """Epoch e+1 without the dead, or around broken links. p_i, E_t and the denominator stay; the ratio makes up for who is missing.

    `finished`: the bitmaps of the segments that members have finished, which stay if the contributors do.
    """
    members = tuple(m for m in record.members if m.peer not in without)
    counted = sum(m.samples for m in members)
    draft = replace(
        record, epoch=record.epoch + 1, kept=(), members=members, expected=tuple(m.peer for m in members), holders=(), model="", state="",
        avoid=tuple(sorted({*record.avoid, *avoid})), ratio_bits=fixedpoint.ratio_bits(record.total_samples, counted),
    )  # fmt: skip
    return with_kept(record, draft, finished)


def share_result(record: RoundRecord, expected: set[str], holders: Sequence[str], held: Held) -> RoundRecord:
    """The epoch stands: those who hold the result give it to those expected who lack it."""
    return replace(record, expected=tuple(sorted(expected)), holders=tuple(sorted(holders)), model=held.model, state=held.state)


def commit(record: RoundRecord, held: Held, holders: Sequence[str], scores: Sequence[Score], reduce_s: float) -> RoundRecord:
    """The round is agreed on."""
    samples = sum(s.samples for s in scores)
    correct = [s.correct for s in scores if s.samples]
    accuracy = sum(c for c in correct if c is not None) / samples if samples and None not in correct else None
    loss = sum(s.loss_sum for s in scores) / samples if samples else record.loss
    loss = loss if loss is not None and math.isfinite(loss) else None
    return replace(
        record, phase="committed", holders=tuple(sorted(holders)), model=held.model, state=held.state,
        contributors=tuple(m.peer for m in record.members if m.samples), accuracy=accuracy, loss=loss, reduce_s=reduce_s, voids=0,
        scored=samples > 0, kept=(),
    )  # fmt: skip


def void(record: RoundRecord) -> RoundRecord:
    """The round is committed without a change: model r is model r-1 and nobody is counted."""
    return replace(
        record, phase="committed", void=True, voids=record.voids + 1, model=record.base_model, state=record.base_state,
        contributors=(), holders=(), accuracy=None, kept=(),
    )  # fmt: skip


def committed_entry(record: RoundRecord) -> Committed:
    """The history's line for a committed round."""
    return Committed(
        record.number, record.epoch, record.model, record.state, record.contributors, record.void, record.accuracy, record.loss,
        record.train_s, record.reduce_s, record.scored, {} if record.void else record.residuals,
    )  # fmt: skip

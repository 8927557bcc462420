"""What a member may say: a report is held against the run before it counts. A shared key proves membership, not honesty."""

from __future__ import annotations

import math

from pyfl.aggregation.fixedpoint import ZERO
from pyfl.errors import MessageError
from pyfl.preparation.plan import numbers
from pyfl.preparation.wire import LIMBS
from pyfl.rounds.messages import Held, Ready, Report, Score
from pyfl.rounds.records import PREPARATION, RunRecord
from pyfl.wire.segments import cut

__all__ = ["screen"]

MOST_SAMPLES = 2**40  # more than any data set has; sums of them are exact in float64
EXPONENTS = range(-160, 129)  # frexp's for float32, subnormals included
DIGEST_CHARACTERS = 64


def screen(report: Report, run: RunRecord) -> None:
    """Raise `MessageError` saying what is wrong with a report."""
    if report.ready:
        residual = report.ready.residual
        if residual and not (run.residuals and PREPARATION < residual < report.ready.round):
            raise MessageError(
                f"An update of round {report.ready.round} is said to bring one of round {residual}; expected an earlier round from 1, "
                f"in a run with residuals (this one has {'them' if run.residuals else 'none'})."
            )
        preparing = bool(run.prepare) and report.ready.round == PREPARATION
        _ready(report.ready, 0 if preparing else len(run.layout.tensors), preparing=preparing)
    if report.held:
        _held(report.held)
        if run.prepare and report.held.round == PREPARATION and not report.held.finite:
            raise MessageError("A sum of statistics is said not to be finite; expected integers, which always are.")
    if report.score:
        _score(report.score)
    if report.finished:
        _finished(report.finished, run)


def _finished(bitmap: bytes, run: RunRecord) -> None:
    most = (len(cut(max(run.layout.size, LIMBS * numbers(run.prepare)))) + 7) // 8
    if len(bitmap) > most:
        raise MessageError(f"A report has a bitmap of {len(bitmap)} bytes; the run's segments fit in {most}.")


def _ready(ready: Ready, tensors: int, *, preparing: bool) -> None:
    if not math.isfinite(ready.train_s) or ready.train_s < 0:
        raise MessageError(f"An update took {ready.train_s} s to train; expected a finite time.")
    if preparing and (not ready.finite or ready.samples != 1):
        raise MessageError(f"Statistics of {ready.samples} samples, finite: {ready.finite}; expected 1, as all count alike, and finite.")
    if not ready.finite:
        return  # nothing else of it is used
    if not 1 <= ready.samples <= MOST_SAMPLES:
        raise MessageError(f"An update counts {ready.samples} samples; expected 1 to 2^40.")
    for name, exponents in (("exponents", ready.exponents), ("weights' exponents", ready.weight_exponents)):
        if len(exponents) != tensors:
            raise MessageError(f"An update has {len(exponents)} {name}; the model has {tensors} tensors, expected one of each.")
        wild = next((e for e in exponents if e != ZERO and e not in EXPONENTS), None)
        if wild is not None:
            raise MessageError(f"An update has {wild} among its {name}; expected those of float32, {EXPONENTS[0]} to {EXPONENTS[-1]}.")


def _held(held: Held) -> None:
    for digest in (held.model, held.state):
        if len(digest) != DIGEST_CHARACTERS:
            raise MessageError(f"A result has a digest of {len(digest)} characters; expected {DIGEST_CHARACTERS}.")


def _score(score: Score) -> None:
    # a loss may be infinite: a finite model can be that bad
    if not 0 <= score.samples <= MOST_SAMPLES:
        raise MessageError(f"A score has {score.samples} samples; expected 0 to 2^40.")
    if score.correct is not None and not 0 <= score.correct <= score.samples:
        raise MessageError(f"A score has {score.correct} of {score.samples} samples right; expected at most all of them.")

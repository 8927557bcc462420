"""The founder's settings become the run's record; a joiner adopts what it was not told, and is refused for what it was told otherwise."""

from __future__ import annotations

import pytest

from pyfl.errors import ConfigError, RefusedBySwarm
from pyfl.peer.run_plan import RunPlan
from pyfl.peer.settings import PeerSettings
from pyfl.rounds.early_stopping import EarlyStopping
from pyfl.rounds.records import RunRecord

RULE = "accuracy:patience=3,min_delta=0.01"


def founded(**given: object) -> RunRecord:
    settings = PeerSettings(app="linear", seed=1, index=0, of=2, **given)  # type: ignore[arg-type]
    record, _ = RunPlan(settings, None).prepare("founder", founding=True)
    assert record is not None
    return record


def joiner(**given: object) -> RunPlan:
    plan = RunPlan(PeerSettings(join=("127.0.0.1:1",), index=1, of=2, **given), None)  # type: ignore[arg-type]
    plan.prepare("joiner", founding=False)
    return plan


def test_early_stopping_is_a_part_of_the_run_and_joiners_adopt_it() -> None:
    run = founded(early_stopping=RULE)
    assert run.early_stopping == EarlyStopping("accuracy", 3, 0.01)
    joiner().build(run)
    joiner(early_stopping=RULE).build(run)


@pytest.mark.parametrize(
    ("theirs", "ours", "words"),
    [
        (RULE, "accuracy:patience=4", f"early-stopping accuracy:patience=4,min_delta=0 here, {RULE} there"),
        (None, RULE, f"early-stopping {RULE} here, None there"),
    ],
)
def test_a_joiner_with_another_rule_is_refused(theirs: str | None, ours: str, words: str) -> None:
    with pytest.raises(RefusedBySwarm, match=words):
        joiner(early_stopping=ours).build(founded(early_stopping=theirs))


def test_residuals_are_a_part_of_the_run_and_joiners_adopt_them() -> None:
    assert not founded().residuals
    run = founded(residuals=True)
    assert run.residuals
    joiner().build(run)
    joiner(residuals=True).build(run)
    with pytest.raises(RefusedBySwarm, match="residuals False here, True there"):
        joiner(residuals=False).build(run)


def test_a_rule_that_cannot_be_meant_is_said_when_the_settings_are_made() -> None:
    with pytest.raises(ConfigError, match="early_stopping"):
        PeerSettings(early_stopping="acuracy")

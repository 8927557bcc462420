"""Options of an app given by name reach the run's record, joiners adopt them, and only what was given otherwise is refused."""

from __future__ import annotations

import pytest

from pyfl.errors import AppError, RefusedBySwarm
from pyfl.peer.run_plan import RunPlan
from pyfl.peer.settings import PeerSettings
from pyfl.rounds.records import RunRecord


@pytest.fixture(scope="module")
def run() -> RunRecord:
    founder = PeerSettings(app="mnist", partition="pathological:6", limit_samples=40, seed=1, index=0, of=6)
    record, trainer = RunPlan(founder, None).prepare("founder", founding=True)
    assert record is not None
    assert trainer is not None
    return record


def joiner(**given: object) -> RunPlan:
    plan = RunPlan(PeerSettings(join=("127.0.0.1:1",), index=1, of=6, **given), None)  # type: ignore[arg-type]
    plan.prepare("joiner", founding=False)
    return plan


def test_options_by_name_are_in_the_runs_record_and_the_data_file_is_not(run: RunRecord) -> None:
    assert (run.app, run.options["partition"], run.options["limit_samples"]) == ("mnist", "pathological:6", "40")
    assert "data" not in run.options


def test_a_joiner_that_was_told_nothing_or_the_same_adopts_the_runs_options(run: RunRecord) -> None:
    for plan in (joiner(), joiner(app="mnist"), joiner(app="mnist", limit_samples=40), joiner(partition="pathological:6")):
        trainer = plan.build(run)
        assert trainer.layout == run.layout
        assert getattr(trainer, "samples") == 40  # noqa: B009


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"limit_samples": 41}, "option limit_samples 41 here, 40 there"),
        ({"app": "mnist:local_epochs=3"}, "option local_epochs 3 here, 2 there"),
        ({"app": "mnist", "partition": "iid"}, "option partition iid here, pathological:6 there"),
        ({"app": "digits"}, "app digits here, mnist there"),
    ],
)
def test_a_joiner_that_was_told_otherwise_is_refused_by_the_options_name(run: RunRecord, given: dict[str, object], words: str) -> None:
    with pytest.raises(RefusedBySwarm, match=words):
        joiner(**given).build(run)


def test_an_option_that_the_app_does_not_have_is_said_at_once() -> None:
    with pytest.raises(AppError, match="mnist has no option 'model'"):
        joiner(app="mnist", model="niid")
    with pytest.raises(AppError, match="no model 'nid'; did you mean 'niid'"):
        joiner(app="cifar10", model="nid")

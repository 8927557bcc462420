"""`--from FILE`: a founder's run begins with the weights of a `.keras` file or a checkpoint, or the founder says why it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from pyfl.apps import load_app
from pyfl.checkpoints import CheckpointStore, Saved
from pyfl.errors import ConfigError, ModelMismatch, PyflError, RefusedBySwarm
from pyfl.peer.run_plan import RunPlan
from pyfl.peer.settings import PeerSettings
from pyfl.rounds.records import RunRecord
from pyfl.training.keras_variables import FlatVariables
from pyfl.training.trainer import FlatTrainer
from pyfl.wire import digests


def founder(file: Path, app: str = "linear", **given: object) -> RunPlan:
    return RunPlan(PeerSettings(app=app, start_from=str(file), seed=1, index=0, of=2, **given), None)  # type: ignore[arg-type]


def found(plan: RunPlan) -> tuple[RunRecord, FlatTrainer]:
    record, trainer = plan.prepare("founder", founding=True)
    assert record is not None
    assert trainer is not None
    return record, trainer


def checkpoint(directory: Path, weights: np.ndarray, app: str = "linear", **options: str) -> Path:
    """A committed checkpoint of round 3 with these weights."""
    trainer = load_app(app).build(0, 2, 1)
    digest = digests.combine(digests.of_vector(weights))
    layout = trainer.layout.digest if len(weights) == trainer.layout.size else "another"
    saved = Saved("run", layout, 3, 1, digest, digests.combine_vectors([]), 0, app, options)
    CheckpointStore(directory, durable=False, warn=pytest.fail).commit(saved, weights, [])
    return directory / "round-000003.safetensors"


def linear_weights() -> np.ndarray:
    size = load_app("linear").build(0, 2, 1).layout.size
    return np.arange(1, size + 1, dtype=np.float32)


def test_a_run_begins_with_the_checkpoint_and_its_record_says_so(tmp_path: Path) -> None:
    weights = linear_weights()
    plan = founder(checkpoint(tmp_path, weights))
    record, trainer = found(plan)
    out = np.zeros_like(weights)
    trainer.initial(out)
    assert np.array_equal(out, weights)
    assert record.model == digests.combine(digests.of_vector(weights))
    again = np.zeros_like(weights)
    plan.build(record).initial(again)
    assert np.array_equal(again, weights), "a founder that starts again before anyone else holds the model has it still"


def test_a_keras_file_is_taken_as_a_checkpoint_is(tmp_path: Path) -> None:
    model: Any = load_app("mnist").resting_model()
    model.save(tmp_path / "warm.keras")
    variables = FlatVariables(model)
    weights = np.zeros(variables.layout.size, np.float32)
    variables.store(weights)
    record, trainer = found(founder(tmp_path / "warm.keras", "mnist", limit_samples=40))
    assert record.model == digests.combine(digests.of_vector(weights))
    assert getattr(trainer, "samples") == 40, "in everything else it is the app's trainer"  # noqa: B009
    with pytest.raises(ModelMismatch, match=r"another model than this run's: conv2d/kernel: shape .* here, .* in the file") as caught:
        found(founder(tmp_path / "warm.keras", "digits"))
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("kind", ["missing", "no zip", "cut off", "changed", "no sidecar", "not finite"])
def test_a_file_that_cannot_be_used_is_said_by_the_settings_name(tmp_path: Path, kind: str) -> None:
    weights = linear_weights()
    if kind == "not finite":
        weights[0] = np.nan
    file = checkpoint(tmp_path, weights)
    match kind:
        case "missing":
            file = tmp_path / "absent.keras"
        case "no zip":
            file = tmp_path / "text.keras"
            file.write_bytes(b"no model")
        case "cut off":
            file.write_bytes(file.read_bytes()[:-4])
        case "changed":
            file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
        case "no sidecar":
            file.with_suffix(".json").unlink()
        case _:
            pass
    with pytest.raises(ConfigError, match=r"start_from \(--from\)") as caught:
        found(founder(file))
    assert caught.value.exit_code == 5
    assert file.name in str(caught.value)


def test_a_checkpoint_of_another_model_is_said_with_what_it_is_of(tmp_path: Path) -> None:
    file = checkpoint(tmp_path, np.zeros(3, np.float32), features="2")
    with pytest.raises(ModelMismatch, match=r"\d+ values here, 3 values there, of app linear with features=2"):
        found(founder(file))


def test_a_joiner_does_not_say_what_a_run_begins_with() -> None:
    with pytest.raises(ConfigError, match=r"start_from \(--from\): only a founder"):
        PeerSettings(join=("127.0.0.1:1",), start_from="m.keras")
    PeerSettings(join=("127.0.0.1:1",), expect=3, start_from="m.keras")  # any of three equal peers may be the founder


def test_equal_peers_with_another_file_than_the_founders_are_refused(tmp_path: Path) -> None:
    record, _ = found(founder(checkpoint(tmp_path / "a", linear_weights())))
    other = founder(checkpoint(tmp_path / "b", -linear_weights()))
    with pytest.raises(RefusedBySwarm, match=rf"from .*round-000003.safetensors here, model {record.model[:12]} there"):
        other.build(record)


def test_more_rounds_than_the_run_has_are_refused_with_the_way_to_go_on(tmp_path: Path) -> None:
    record, _ = found(founder(checkpoint(tmp_path, linear_weights()), rounds=20))
    with pytest.raises(RefusedBySwarm, match=r"rounds 30 here, 20 there.*after round 20, found a new run .* --from") as caught:
        RunPlan(PeerSettings(rounds=30), None).build(record)
    assert caught.value.exit_code == 7
    fewer: PyflError | None = None
    try:
        RunPlan(PeerSettings(rounds=10), None).build(replace(record, rounds=20))
    except RefusedBySwarm as error:
        fewer = error
    assert fewer is not None
    assert "--from" not in str(fewer)

"""`pyfl predict` and `pyfl export`, from a data directory and without a running peer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image
from typer.testing import CliRunner, Result

from pyfl.apps import load_app
from pyfl.checkpoints import BestMark, CheckpointStore, Saved
from pyfl.cli.program import program
from pyfl.training.keras_variables import FlatVariables
from pyfl.wire import digests


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    layout = FlatVariables(load_app("mnist").resting_model()).layout
    weights = np.random.default_rng(0).normal(0, 0.1, layout.size).astype(np.float32)
    digest = digests.combine(digests.of_vector(weights))
    saved = Saved("run", layout.digest, 7, 1, digest, digests.combine_vectors([]), 0, "mnist", {})
    store = CheckpointStore(tmp_path / "peer" / "checkpoints", durable=False, warn=pytest.fail)
    other = weights[::-1].copy()
    best = digests.combine(digests.of_vector(other))
    store.commit(replace(saved, round=5, model=best), other, [])
    store.pin(BestMark("run", 5, best, "accuracy", 0.9))
    store.commit(saved, weights, [])
    Image.new("L", (28, 28), 99).save(tmp_path / "grey.png")
    return tmp_path / "peer"


def pyfl(*arguments: object) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments])


def test_predict_tells_class_confidence_round_and_digest(data_dir: Path) -> None:
    picture = data_dir.parent / "grey.png"
    answer = pyfl("predict", picture, picture, "--data-dir", data_dir, "--top", 4, "--json")
    assert answer.exit_code == 0, answer.output
    first, second = (json.loads(line) for line in answer.stdout.splitlines())
    assert first == second
    assert (first["image"], first["round"], len(first["digest"]), len(first["top"])) == (str(picture), 7, 64, 4)
    assert (first["class"], first["label"], first["confidence"]) == tuple(first["top"][0].values())
    people = pyfl("predict", picture, "--checkpoint", data_dir / "checkpoints" / "round-000007.safetensors")
    assert people.stdout.startswith(f"{picture}: {first['class']} ")


def test_the_best_round_is_asked_and_exported_when_it_is_asked_for(data_dir: Path) -> None:
    answer = pyfl("predict", data_dir.parent / "grey.png", "--data-dir", data_dir, "--best", "--json")
    assert json.loads(answer.stdout)["round"] == 5
    answer = pyfl("export", data_dir / "m.safetensors", "--data-dir", data_dir, "--best", "--json")
    assert json.loads(answer.stdout)["round"] == 5
    file = data_dir / "checkpoints" / "round-000007.safetensors"
    assert pyfl("predict", data_dir.parent / "grey.png", "--checkpoint", file, "--best").exit_code == 2
    (data_dir / "checkpoints" / "round-000005.json").unlink()
    answer = pyfl("export", data_dir / "n.keras", "--data-dir", data_dir, "--best")
    assert (answer.exit_code, "best round is 5" in answer.stderr) == (1, True)


def test_predict_says_which_picture_is_wrong(data_dir: Path) -> None:
    (data_dir / "text.png").write_text("no picture")
    answer = pyfl("predict", data_dir / "text.png", "--data-dir", data_dir)
    assert answer.exit_code == 1
    assert f"{data_dir / 'text.png'}: This is not an image" in answer.stderr
    answer = pyfl("predict", data_dir / "absent.png", "--data-dir", data_dir)
    assert (answer.exit_code, "absent.png cannot be read: No such file" in answer.stderr) == (1, True)


def test_export_takes_the_format_from_the_name(data_dir: Path) -> None:
    answer = pyfl("export", data_dir / "m.keras", "--data-dir", data_dir, "--json")
    told = json.loads(answer.stdout)
    assert (told["format"], told["round"], told["parameters"]) == ("keras", 7, 46_730)
    assert (data_dir / "m.keras").stat().st_size > 4 * 46_730
    again = pyfl("export", data_dir / "m.keras", "--data-dir", data_dir)
    assert (again.exit_code, "exists already" in again.stderr) == (1, True)


def test_without_a_committed_model_it_is_said_where_one_was_looked_for(tmp_path: Path) -> None:
    answer = pyfl("export", tmp_path / "m.keras", "--data-dir", tmp_path)
    assert (answer.exit_code, f"no committed model in {tmp_path}" in answer.stderr) == (1, True)

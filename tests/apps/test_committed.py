"""A committed model comes back from its checkpoint: exported weights are the committed ones, predictions those of the export."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from pyfl.apps import load_app
from pyfl.apps.committed import probabilities, rebuild
from pyfl.apps.exporting import export
from pyfl.checkpoints import CheckpointStore, Saved, newest_checkpoint, read_checkpoint
from pyfl.errors import AppError, CheckpointError, ExportError, ModelMismatch
from pyfl.training.keras_variables import FlatVariables
from pyfl.wire import digests

Commit = Callable[..., Saved]


@pytest.fixture
def commit(tmp_path: Path) -> Commit:
    """Write a checkpoint of an app as its peer does, with weights drawn from the round's number."""

    def write(text: str, number: int = 3, peer: str = "otter", layout: Any = None, named: str | None = None) -> Saved:
        app = load_app(text)
        layout = layout or FlatVariables(app.resting_model()).layout
        weights = np.random.default_rng(number).normal(0, 0.05, layout.size).astype(np.float32)
        digest = digests.combine(digests.of_vector(weights))
        options = {name: str(value) for name, value in app.record().items()}
        saved = Saved(
            "run", layout.digest, number, 1, digest, digests.combine_vectors([]), 0, app.name if named is None else named, options
        )
        store = CheckpointStore(tmp_path / peer / "checkpoints", durable=False, warn=pytest.fail)
        assert store.commit(saved, weights, [])
        return saved

    return write


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def flat(model: Any) -> np.ndarray:
    variables = FlatVariables(model)
    out = np.empty(variables.layout.size, np.float32)
    variables.store(out)
    return out


@pytest.mark.parametrize(
    ("app", "shape"),
    [("digits", (8, 8)), ("mnist", (28, 28)), ("cifar10:model=niid,augment=1", (32, 32, 3)), ("cifar10", (32, 32, 3))],
)
def test_an_exported_keras_model_has_the_committed_weights_and_predicts_what_predict_does(
    tmp_path: Path, commit: Commit, app: str, shape: tuple[int, ...]
) -> None:
    commit(app)
    saved, weights = newest_checkpoint(tmp_path / "otter")
    export(saved, weights, tmp_path / "model.keras", "keras")
    exported: Any = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(flat(exported), weights)

    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    inputs = pixels[None, ..., None] / np.float32(255) if app == "digits" else pixels.reshape(1, *shape[:2], -1)
    outputs = exported.predict(inputs, verbose=0)[0]
    wanted = np.exp(outputs - outputs.max()) / np.exp(outputs - outputs.max()).sum()
    guesses = rebuild(saved, weights).classify(png(pixels), top=10)
    assert [guess.label for guess in guesses] == np.argsort(-wanted, kind="stable").tolist()
    np.testing.assert_allclose([guess.probability for guess in guesses], np.sort(wanted)[::-1], rtol=1e-5)


def test_an_exported_savedmodel_serves_the_committed_weights(tmp_path: Path, commit: Commit) -> None:
    commit("digits")
    saved, weights = newest_checkpoint(tmp_path)
    export(saved, weights, tmp_path / "served", "savedmodel")
    import tensorflow as tf

    served: Any = tf.saved_model.load(str(tmp_path / "served"))
    x = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    np.testing.assert_allclose(served.serve(x), rebuild(saved, weights).model.predict(x, verbose=0), rtol=1e-4, atol=1e-6)


def test_exported_safetensors_hold_every_tensor_by_name_and_say_where_they_are_from(tmp_path: Path, commit: Commit) -> None:
    commit("digits")
    saved, weights = newest_checkpoint(tmp_path)
    export(saved, weights, tmp_path / "model.safetensors", "safetensors")
    layout = FlatVariables(load_app("digits").resting_model()).layout
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        assert sorted(file.keys()) == sorted(tensor.name for tensor in layout.tensors)
        for tensor, view in zip(layout.tensors, layout.views(weights), strict=True):
            assert np.array_equal(file.get_tensor(tensor.name), view)
        about = file.metadata()
    assert (about["run"], about["app"], about["round"], about["digest"]) == ("run", "digits", "3", saved.model)
    assert about["option.batch_size"] == "16"


def test_an_app_that_is_not_kerass_exports_its_tensors_and_nothing_else(tmp_path: Path, commit: Commit) -> None:
    commit("linear:5", layout=load_app("linear:5").build(0).layout)
    saved, weights = newest_checkpoint(tmp_path)
    export(saved, weights, tmp_path / "model.safetensors", "safetensors")
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        assert {name: file.get_tensor(name).shape for name in file.keys()} == {"weights": (5,), "bias": (1,)}  # noqa: SIM118
    with pytest.raises(AppError, match="can be exported as safetensors"):
        export(saved, weights, tmp_path / "model.keras", "keras")


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("model.h5", "keras", r"does not end in \.keras.*call it model\.keras"),
        ("model.keras", "onnx", "expected one of keras, savedmodel, safetensors"),
        ("there", "savedmodel", "exists already"),
        ("no/such/folder.keras", "keras", "could not be written"),
    ],
)
def test_an_export_that_cannot_be_is_refused_and_leaves_nothing(tmp_path: Path, commit: Commit, name: str, kind: str, words: str) -> None:
    commit("digits")
    (tmp_path / "there").mkdir()
    saved, weights = newest_checkpoint(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ExportError, match=words):
        export(saved, weights, tmp_path / name, kind)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_newest_checkpoint_of_all_peers_of_a_demo_is_found(tmp_path: Path, commit: Commit) -> None:
    for number, peer in ((1, "otter"), (2, "lynx"), (1, "heron")):
        commit("digits", number, peer)
    assert newest_checkpoint(tmp_path)[0].round == 2
    assert newest_checkpoint(tmp_path / "otter")[0].round == 1
    assert newest_checkpoint(tmp_path / "otter" / "checkpoints")[0].round == 1


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_and_never_trusted(tmp_path: Path, commit: Commit) -> None:
    commit("digits", 1)
    commit("digits", 2)
    file = tmp_path / "otter" / "checkpoints" / "round-000002.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="does not have the digest"):
        read_checkpoint(file)
    assert newest_checkpoint(tmp_path)[0].round == 1
    file.with_name("round-000001.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"no committed model.*The newest could not be read: .*digest"):
        newest_checkpoint(tmp_path)


def test_a_place_without_a_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no committed model"):
        newest_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"expected x\.safetensors with x\.json beside it"):
        read_checkpoint(tmp_path / "x.safetensors")


def test_an_app_that_makes_another_model_than_was_saved_is_refused(tmp_path: Path, commit: Commit) -> None:
    commit("digits", named="mnist")
    saved, weights = newest_checkpoint(tmp_path)
    with pytest.raises(ModelMismatch, match="46730 values here, 38282 there"):
        rebuild(saved, weights)


def test_a_model_handed_over_as_an_object_needs_its_app_to_be_named(tmp_path: Path, commit: Commit) -> None:
    commit("digits", named="trainer")
    saved, weights = newest_checkpoint(tmp_path)
    with pytest.raises(AppError, match=r"handed over as an object.*--app"):
        rebuild(saved, weights)
    assert np.array_equal(flat(rebuild(saved, weights, load_app("digits")).model), weights)


def test_outputs_that_are_probabilities_already_stay_and_logits_become_them() -> None:
    sure = np.array([[0.2, 0.8], [1.0, 0.0]])
    assert np.array_equal(probabilities(sure), sure)
    np.testing.assert_allclose(probabilities(np.array([[1000.0, 1000.0]])), [[0.5, 0.5]])
    with pytest.raises(AppError, match="one for each class"):
        probabilities(np.zeros((1, 2, 3)))

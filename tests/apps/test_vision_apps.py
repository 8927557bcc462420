"""The apps on pictures: their networks, their presets, their data, and how a picture from outside becomes an input."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyfl.apps import App, Assignment, load_app
from pyfl.apps.augmentation import flip_and_shift
from pyfl.apps.images import LARGEST_FILE, ImageInput
from pyfl.datasets import Dataset
from pyfl.errors import AppError, DataError, ImageError
from pyfl.training import RoundInfo
from tests.cifar10_images import unpacked

GREY = ImageInput(28, 28, 1, tuple("0123456789"))
COLOUR = ImageInput(32, 32, 3, ("a", "b"))


def parameters(text: str) -> int:
    return load_app(text).resting_model().count_params()


def test_the_originals_network_has_550570_parameters_and_the_small_one_62006() -> None:
    assert parameters("cifar10") == parameters("cifar10:model=original") == 550_570
    assert parameters("cifar10:model=niid") == 62_006


def test_a_model_brings_its_own_epochs_and_batch_unless_told_otherwise() -> None:
    def chosen(text: str) -> tuple[object, object]:
        record = load_app(text).record()
        return record["local_epochs"], record["batch_size"]

    assert chosen("cifar10") == (2, 16)
    assert chosen("cifar10:model=niid") == (1, 64)
    assert chosen("cifar10:model=niid,batch_size=8") == (1, 8)
    again = load_app("cifar10:model=niid").with_options({"model": "original", "local_epochs": 5})
    assert (again.record()["local_epochs"], again.record()["batch_size"]) == (5, 16)


def test_where_the_data_lies_is_each_peers_own_matter() -> None:
    assert "data" not in load_app("cifar10:data=/somewhere.npz").record()
    assert "data" not in load_app("mnist:data=/somewhere.npz").record()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cifar10:model=nid", "did you mean 'niid'"),
        ("cifar10:model=resnet", "there are niid, original"),
        ("cifar10:augmented=1", "did you mean 'augment'"),
        ("mnist:limit_samples=-1", "0 for all"),
        ("mnist:limit_samples=few", "expected int"),
    ],
)
def test_options_that_cannot_be_used_are_refused(text: str, words: str) -> None:
    with pytest.raises(AppError, match=words):
        load_app(text)


def test_mnist_is_learned() -> None:
    trainer = load_app("mnist:limit_samples=1500,local_epochs=3").build(0, 1, seed=3)
    weights = np.empty(trainer.layout.size, np.float32)
    trainer.initial(weights)
    outcome = trainer.train(weights.copy(), weights, RoundInfo(1, 1, seed=3, peer="a"), bool)
    assert outcome.samples == 4500
    evaluation = trainer.evaluate(weights, (0, 1))
    assert evaluation is not None
    assert evaluation.samples == 1000
    assert evaluation.accuracy is not None
    assert evaluation.accuracy > 0.85


def test_limit_samples_limits_each_peer_to_the_same_ones_every_time() -> None:
    app = load_app("mnist:limit_samples=50,partition=pathological:2")
    settings = app.settings()
    one, again, other = (app.share(Assignment(index, 4, 7), settings) for index in (0, 0, 1))
    assert (len(one.y_train), len(one.y_test)) == (50, 1000)
    assert np.array_equal(one.x_train, again.x_train)
    assert len(np.unique(one.y_train)) == 2
    assert not np.array_equal(one.x_train, other.x_train)


def test_model_and_data_are_given_the_options_that_they_name() -> None:
    seen: dict[str, object] = {}

    def data(size: int) -> Dataset:
        seen["size"] = size
        return Dataset(np.zeros((size, 1)), np.zeros(size, np.int32), np.zeros((0, 1)), np.zeros(0, np.int32), 1)

    app = App(model=object, data=data, options={"size": 12, "other": 1})
    assert len(app.share(Assignment(0, 2, 0), app.settings({"size": "20"})).y_train) == 10
    assert seen == {"size": 20}


def test_fewer_samples_than_peers_is_said_before_anything_is_trained() -> None:
    def data() -> Dataset:
        return Dataset(np.zeros((3, 1)), np.zeros(3, np.int32), np.zeros((0, 1)), np.zeros(0, np.int32), 1)

    with pytest.raises(DataError, match=r"fewer samples \(3\) than peers \(4\)"):
        App(model=object, data=data).build(0, 4)


def test_fewer_samples_than_classes_train_like_any_others() -> None:
    trainer = load_app("digits").build(0, 2, 1, {"limit_samples": 4})
    base = np.zeros(trainer.layout.size, np.float32)
    trainer.initial(base)
    out = np.zeros_like(base)
    outcome = trainer.train(base, out, RoundInfo(1, 2), lambda: False)
    assert len(getattr(trainer, "label_counts")) <= 4  # noqa: B009
    assert (outcome.samples > 0, bool(np.isfinite(out).all()), bool((out != base).any())) == (True, True, True)


def test_augmentation_moves_and_mirrors_in_training_and_only_then() -> None:
    layer = flip_and_shift(2)
    images = np.zeros((400, 5, 7, 1), np.float32)
    images[:, 2, 3, 0], images[:, 2, 4, 0] = 1.0, 2.0
    assert np.array_equal(layer(images, training=False), images)
    moved = np.asarray(layer(images, training=True))
    rows, columns = (np.argwhere(moved == 1.0)[:, axis] for axis in (1, 2))
    assert set(rows) == {0, 1, 2, 3, 4}
    assert set(columns) == {1, 2, 3, 4, 5}
    right = np.argwhere(moved == 2.0)[:, 2] - columns[: len(np.argwhere(moved == 2.0))]
    assert set(right) == {-1, 1}
    assert len(columns) == 400


def test_augmented_training_is_a_function_of_the_round_and_leaves_the_weights_layout_alone() -> None:
    def data() -> Dataset:
        draw = np.random.default_rng(0)
        x = draw.integers(0, 256, (40, 32, 32, 3), np.uint8)
        return Dataset(x, draw.integers(0, 10, 40).astype(np.int32), x[:0], np.zeros(0, np.int32), 10)

    app = replace(load_app("cifar10:model=niid"), data=data)
    plain, augmented = (app.build(0, 1, 5, {"augment": flag}) for flag in (0, 1))
    assert plain.layout == augmented.layout
    base = np.empty(plain.layout.size, np.float32)
    plain.initial(base)

    def trained(trainer: Any, number: int) -> np.ndarray:
        out = np.empty_like(base)
        trainer.train(base, out, RoundInfo(number, 9, seed=5, peer="a"), bool)
        return out

    first = trained(augmented, 1)
    assert not np.array_equal(first, trained(plain, 1))
    assert not np.array_equal(first, trained(augmented, 2))
    assert np.array_equal(first, trained(augmented, 1))


def picture(mode: str, size: tuple[int, int], colour: Any = 200, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, kind)
    return buffer.getvalue()


def test_a_picture_of_the_right_size_is_taken_pixel_for_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    assert np.array_equal(COLOUR.decode(buffer.getvalue())[0], pixels)


def test_other_pictures_are_scaled_whole_and_inverted_only_when_asked() -> None:
    assert COLOUR.decode(picture("L", (64, 64), 200))[0].tolist() == [[[200] * 3] * 32] * 32
    wide = GREY.decode(picture("RGB", (56, 28), (255, 255, 255)))[0, :, :, 0]
    assert (wide[14, 14], wide[0, 14], wide[27, 14]) == (255, 0, 0)
    assert GREY.decode(picture("L", (28, 28), 255), invert=True).max() == 0
    floats = ImageInput(8, 8, 1, (), scale=1 / 255).decode(picture("L", (8, 8), 255))
    assert (floats.dtype, floats.shape, floats.max()) == (np.float32, (1, 8, 8, 1), 1.0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an image"),
        (b"GIF89a and no more", "not an image|damaged"),
        (picture("RGB", (300, 300), (1, 2, 3), "JPEG")[:700], "damaged"),
        (picture("1", (5000, 4001), 0), re.escape("5000 x 4001 pixels; at most 20,000,000")),
        (picture("1", (14_000, 14_000), 0), "too many pixels"),
        (picture("1", (10_000, 10_000), 0), "too many pixels"),
        (bytes(LARGEST_FILE + 1), "10,000,001 bytes; at most 10,000,000"),
    ],
)
def test_a_picture_that_is_none_or_too_large_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        GREY.decode(content)


def test_cifar10s_own_pictures_reach_the_small_network(tmp_path: Path) -> None:
    data = unpacked(tmp_path, train=2000, test=500)
    trainer = load_app(f"cifar10:model=niid,data={data},local_epochs=6,batch_size=16").build(0, 1, seed=1)
    weights = np.empty(trainer.layout.size, np.float32)
    trainer.initial(weights)
    trainer.train(weights.copy(), weights, RoundInfo(1, 1, seed=1, peer="a"), bool)
    evaluation = trainer.evaluate(weights, (0, 1))
    assert evaluation is not None
    assert evaluation.accuracy is not None
    assert evaluation.accuracy > 0.25  # by chance: 0.1

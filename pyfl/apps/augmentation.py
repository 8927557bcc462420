"""Random flips and shifts of training images, as a layer at the front of a model: fast, and without weights."""

from __future__ import annotations

import functools
from typing import Any

from pyfl.training.tensorflow_runtime import import_keras, import_tensorflow

__all__ = ["flip_and_shift"]


def flip_and_shift(pixels: int) -> Any:
    """Each image is mirrored or not, and moved by up to so many pixels each way, with black moving in; only in training."""
    return _layer()(pixels)


@functools.cache
def _layer() -> Any:
    """Defined late: Keras takes seconds to import."""
    keras, tf = import_keras(), import_tensorflow()

    class FlipAndShift(keras.layers.Layer):
        """Two gathers a batch. Keras's RandomTranslation interpolates, and takes as long as a small network's training."""

        def __init__(self, pixels: int) -> None:
            super().__init__(trainable=False)  # pyright: ignore[reportUnknownMemberType]
            self._pixels = pixels
            # Seeded anew by whoever trains, each round, as the states of dropout are.
            self._random = keras.random.SeedGenerator(0)

        def call(self, images: Any, training: bool = False) -> Any:
            if not training:
                return images
            count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
            moves = keras.random.randint((3, count), 0, 2 * self._pixels + 1, seed=self._random)
            mirrored = keras.random.uniform((count,), seed=self._random) < 0.5
            edges = [[0, 0], [self._pixels] * 2, [self._pixels] * 2, [0, 0]]
            rows = moves[0][:, None] + tf.range(height)[None]
            columns = moves[1][:, None] + tf.range(width)[None]
            columns = tf.where(mirrored[:, None], tf.reverse(columns, [1]), columns)
            moved = tf.gather(tf.pad(images, edges), rows, batch_dims=1, axis=1)
            return tf.gather(moved, tf.repeat(columns[:, None], height, axis=1), batch_dims=2, axis=2)

    return FlipAndShift

"""A Keras model trained by whoever is there: python keras_fit.py 127.0.0.1:7700, then python keras_fit.py 127.0.0.1:7701 127.0.0.1:7700."""

import sys

import keras
from sklearn.datasets import load_digits

import pyfl

listen, *join = sys.argv[1:]
digits = load_digits()
x, y = digits.images[len(join) :: 2] / 16.0, digits.target[len(join) :: 2]  # this peer's half

model = keras.Sequential([keras.layers.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(32, "relu"), keras.layers.Dense(10)])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])

with pyfl.Peer(listen=listen, join=join) as peer:
    history = peer.fit(model, x, y, rounds=5, local_epochs=2, batch_size=32, validation_split=0.2)
print(f"accuracy {history.history['val_accuracy'][-1]:.3f} model {history.history['digest'][-1]}")

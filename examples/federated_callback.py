"""A plain Keras script and one line that makes it a peer: python federated_callback.py 127.0.0.1:7700 [an address to join]."""

import sys

import keras
from sklearn.datasets import load_digits

import pyfl

digits = load_digits()
x, y = digits.images[len(sys.argv) % 2 :: 2] / 16.0, digits.target[len(sys.argv) % 2 :: 2]  # this peer's half
model = keras.Sequential([keras.layers.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(32, "relu"), keras.layers.Dense(10)])
model.compile(optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
callbacks = [keras.callbacks.EarlyStopping(patience=10)]
callbacks.append(pyfl.keras.FederatedCallback(pyfl.Peer(listen=sys.argv[1], join=sys.argv[2:])))  # <- the added line
history = model.fit(x, y, epochs=5, validation_split=0.2, verbose=2, callbacks=callbacks)
print(f"accuracy {history.history['val_accuracy'][-1]:.3f} model {callbacks[-1].rounds[-1].digest}")

"""Logistic regression in plain NumPy, federated: python numpy_trainer.py 127.0.0.1:7700 [an address to join]."""

import sys

import numpy as np

import pyfl


class Logistic:
    def __init__(self, part):
        self.x = np.random.default_rng(part).normal(size=(200, 3)).astype(np.float32)
        self.y = (self.x @ [2, -1, 0.5] > 0).astype(np.float32)

    def initial_weights(self):
        return [np.zeros(3, np.float32)]

    def train(self, weights, round):
        error = 1 / (1 + np.exp(-self.x @ weights[0])) - self.y
        weights[0] -= (self.x.T @ error / len(self.y)).astype(np.float32)
        return pyfl.TrainResult(weights, samples=len(self.y), metrics={"loss": float(np.mean(error**2))})


with pyfl.Peer(listen=sys.argv[1], join=sys.argv[2:]) as peer:
    result = peer.run(Logistic(part=len(sys.argv)), rounds=5)
print(f"weights {result.weights[0]} model {result.rounds[-1].digest}")

"""Inputs normalised by the mean and deviation of everyone's data: python -m pyfl.peer 127.0.0.1 7700 --app prepared_digits:app."""

import sys
from dataclasses import replace

from pyfl.apps.digits import app as plain
from pyfl.preparation import Classes, Moments


def prepared(data, swarm):
    mean, deviation = (float(values[0]) for values in (swarm["pixels"].mean, swarm["pixels"].deviation))
    print(f"pixels {mean:.6f} +- {deviation:.6f}, digits {swarm['digits'].classes}", file=sys.stderr)
    return replace(data, x_train=(data.x_train - mean) / deviation, x_test=(data.x_test - mean) / deviation)


wanted = {"pixels": (Moments(channels=1), lambda data: data.x_train), "digits": (Classes(at_most=10), lambda data: data.y_train)}
app = replace(plain, prepare=wanted, prepared=prepared, options={**plain.options, "partition": "pathological:2"})

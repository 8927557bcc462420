"""Importing this loads Keras and TensorFlow without starting TensorFlow's runtime: what a forkserver preloads.

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pyfl.training.preload"])

Children then start in milliseconds and share the frameworks' memory. The runtime (thread pools, devices) starts in each
child with its first operation, after the fork, where alone it is safe; so does the Go library.
"""

import gc

from pyfl.errors import TrainingError
from pyfl.training.tensorflow_runtime import import_keras, runtime_started

import_keras()

if runtime_started():
    raise TrainingError(
        "Importing Keras started TensorFlow's runtime, and a process forked from here could hang. "
        "Start peers with the spawn method, or remove what runs TensorFlow at import time (~/.keras, sitecustomize)."
    )

# What is here lives as long as the process: without this the collector would write to every object's header in each
# child, and copy the pages that were to be shared.
gc.collect()
gc.freeze()

"""TensorFlow's process-wide settings: imported quietly, threads chosen before its runtime starts."""

from __future__ import annotations

import importlib
import logging
import os
from typing import Any

from pyfl.errors import TrainingError

__all__ = ["import_keras", "import_tensorflow", "runtime_started", "set_threads"]

log = logging.getLogger(__name__)


def import_keras() -> Any:
    """Import Keras on TensorFlow, several seconds the first time, without starting TensorFlow's runtime.

    Raises `TrainingError` when Keras is configured for another backend or cannot be imported.
    """
    # Information and warnings of its C++ side go to stderr, which is the peer's log; errors remain.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        keras: Any = importlib.import_module("keras")
        importlib.import_module("tensorflow")
    except ImportError as error:
        raise TrainingError(
            f"Keras on TensorFlow could not be imported: {error}. Install tensorflow-cpu (or tensorflow) and keras, "
            "or bring a pyfl.Trainer, which needs neither."
        ) from error
    backend: str = keras.config.backend()
    if backend != "tensorflow":
        raise TrainingError(
            f"Keras runs on {backend}; the training loop here is TensorFlow's. Set KERAS_BACKEND=tensorflow before "
            "Keras is imported, or bring a pyfl.Trainer."
        )
    return keras


def import_tensorflow() -> Any:
    """Import TensorFlow as `import_keras` does."""
    import_keras()
    # By name, and so untyped: its annotations and its stubs are too sparse to check against.
    return importlib.import_module("tensorflow")


def runtime_started() -> bool:
    """Whether TensorFlow's runtime (thread pools, devices) exists in this process; a fork after that may hang."""
    context: Any = importlib.import_module("tensorflow.python.eager.context")
    return bool(context.context()._initialized)


def set_threads(intra_op: int = 1, inter_op: int = 1) -> bool:
    """Choose TensorFlow's threads per operation and operations at once; whether they are in force afterwards.

    They can be chosen only before the first operation. Later they stay as they are: that costs speed, not correctness,
    so it is logged and reported rather than raised.
    """
    threading = import_tensorflow().config.threading
    wanted = (intra_op, inter_op)
    if not runtime_started():
        threading.set_intra_op_parallelism_threads(intra_op)
        threading.set_inter_op_parallelism_threads(inter_op)
        return True
    current = (threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads())
    if current == wanted:
        return True
    log.warning(
        "TensorFlow was already running with %s threads per operation and %s operations at once (0: one per core); "
        "%s and %s were asked for. Make these settings before the first TensorFlow operation of the process.",
        *current,
        *wanted,
    )
    return False

"""Starting TensorFlow without the lines it prints to stderr before it reads its own setting for that."""

from __future__ import annotations

import os
import sys
import tempfile

__all__ = ["start_quietly"]


def start_quietly() -> None:
    """Import Keras and start TensorFlow's runtime; what they print is shown only if that fails."""
    from pyfl.training.tensorflow_runtime import import_keras, import_tensorflow

    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            import_keras()
            import_tensorflow().constant(0)
        except BaseException:
            printed.seek(0)
            os.write(stderr, printed.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)

"""The arithmetic of a round on flat vectors: exponents, quantise, add, dequantise and the server steps.

Every array is a C-contiguous 1-D numpy array of the dtype named in `_core.pyi`; nothing is converted or copied. A
segment is a run of the flat vector; `bounds` (int64, one more value than there are pieces, from 0 to the
segment's length) cuts it into pieces of tensors, and per-piece scalars are arrays of one value a piece.

The same bits come out on every machine and from every clone: float32 `+ - * / sqrt` only, each rounded in the
written order, round to nearest, subnormals kept (whatever another library set on this thread). Only the payload of a
NaN is not fixed; a round with a NaN result is void. The GIL is released while a kernel runs.
"""

try:
    from pyfl.kernels._core import (
        LARGEST_PRODUCT,
        ZERO_EXPONENT,
        active_clone,
        add,
        add_bounded,
        clones,
        dequantise,
        exponents,
        quantise,
        step_adam,
        step_momentum,
        step_plain,
        use_clone,
    )
except ModuleNotFoundError as error:
    raise ImportError(
        "the compiled part of pyfl.kernels is not there for this Python: run `make build` in a checkout, or reinstall pyfl-swarm"
    ) from error

__all__ = [
    "LARGEST_PRODUCT",
    "ZERO_EXPONENT",
    "active_clone",
    "add",
    "add_bounded",
    "clones",
    "dequantise",
    "exponents",
    "quantise",
    "step_adam",
    "step_momentum",
    "step_plain",
    "use_clone",
]

"""Types of the compiled kernels.

Each raises TypeError for a wrong type or dtype, and ValueError for a wrong shape or length, memory
with gaps, a read-only output, or arrays that overlap in part; nothing has been written then.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

_F32: TypeAlias = NDArray[np.float32]
_I32: TypeAlias = NDArray[np.int32]
_U32: TypeAlias = NDArray[np.uint32]
_I64: TypeAlias = NDArray[np.int64]

ZERO_EXPONENT: Final[int]
"""The exponent of an all-zero or empty piece: -2147483648."""
LARGEST_PRODUCT: Final[float]
"""Products are held within +-2147483520, the largest float32 below 2^31, before they become int32."""

def exponents(x: _F32, bounds: _I64) -> tuple[_I32, bool]:
    """Frexp's exponent of max |x| by piece, and whether all values are finite.

    The exponent of a piece with a NaN or an infinity is 129.
    """

def quantise(out: _I32, update: _F32, bounds: _I64, multipliers: _F32, clips: _F32) -> None:
    """Out = round_half_even(clamp(update, -clip, clip) * multiplier), held within int32; NaN gives 0.

    `out` may be the memory of `update`.
    """

def add(acc: _I32, x: _I32) -> None:
    """Acc += x modulo 2^32."""

def add_bounded(acc: _I32, x: _I32, bounds: _I64, limits: _U32) -> int:
    """How many values have |x| > limit of their piece; acc += x modulo 2^32 only if none has."""

def dequantise(out: _F32, total: _I32, bounds: _I64, inverse_scales: _F32, ratio: float) -> None:
    """Out = float32(total) * inverse_scale * ratio. `out` may be the memory of `total`."""

def step_plain(out: _F32, base: _F32, delta: _F32, lr: float) -> None:
    """Out = base + lr * delta. `out` may be the memory of an input."""

def step_momentum(out: _F32, new_m: _F32, base: _F32, delta: _F32, m: _F32, beta: float, lr: float) -> None:
    """new_m = beta * m + delta; out = base + lr * new_m.

    An output may be the memory of an input, not of the other output.
    """

def step_adam(
    out: _F32,
    new_m: _F32,
    new_v: _F32,
    base: _F32,
    delta: _F32,
    m: _F32,
    v: _F32,
    beta1: float,
    one_minus_beta1: float,
    beta2: float,
    one_minus_beta2: float,
    lr: float,
    tau: float,
) -> None:
    """One server step of Adam, without bias correction (Reddi et al., Adaptive Federated Optimization, 2021).

    new_m = beta1 * m + one_minus_beta1 * delta; new_v = beta2 * v + one_minus_beta2 * (delta * delta);
    out = base + lr * new_m / (sqrt(new_v) + tau). Scalars are rounded to float32.
    An output may be the memory of an input, not of another output.
    """

def clones() -> tuple[str, ...]:
    """The clones that this machine can run, best first: of x86-64-v4, x86-64-v3 and default."""

def use_clone(name: str) -> None:
    """Use this clone from now on, in every thread; for tests and measurements. Raises ValueError."""

def active_clone() -> str:
    """The clone in use."""

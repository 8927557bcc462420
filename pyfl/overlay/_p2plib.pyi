"""The cffi module over gocore/include/p2plib.h: `lib` has its functions and constants."""

from typing import Any

ffi: Any
lib: Any

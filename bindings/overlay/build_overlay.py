"""Writes the C source of pyfl.overlay._p2plib, the cffi module (API mode) over gocore/include/p2plib.h.

    python bindings/overlay/build_overlay.py OUTPUT.c [HEADER]

The source needs p2plib.h to compile and libp2p to link; a compiler checks every declaration against the header.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from cffi import FFI

MODULE = "pyfl.overlay._p2plib"
HEADER = Path(__file__).parents[2] / "gocore" / "include" / "p2plib.h"

# A constant is a name in P2P_ with a value; the include guard has none.
_CONSTANT = re.compile(r"^#define (P2P_\w+) +\S", re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_PREPROCESSOR = re.compile(r"^#.*$", re.MULTILINE)


def declarations(header: str) -> str:
    """Turn the header's text into what cffi understands: its constants, then its functions."""
    text = _COMMENT.sub("", header)
    constants = "".join(f"#define {name} ...\n" for name in _CONSTANT.findall(text))
    return constants + _PREPROCESSOR.sub("", text)


def write_source(output: Path, header: Path = HEADER) -> None:
    """Write the module's C source to `output`."""
    ffi = FFI()
    ffi.cdef(declarations(header.read_text()))
    ffi.set_source(MODULE, '#include "p2plib.h"')
    ffi.emit_c_code(str(output))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    write_source(*map(Path, sys.argv[1:]))

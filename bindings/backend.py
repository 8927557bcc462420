"""The build backend: scikit-build-core, with Go and a C compiler from PyPI where this machine has none (PEP 517)."""

from __future__ import annotations

import os
from pathlib import Path

import toolchain
from scikit_build_core import build as _scikit_build
from scikit_build_core.build import build_sdist as build_sdist
from scikit_build_core.build import get_requires_for_build_sdist as get_requires_for_build_sdist

Settings = dict[str, str | list[str]] | None

__all__ = ["build_sdist", "build_wheel", "get_requires_for_build_sdist", "get_requires_for_build_wheel"]


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """What scikit-build-core asks for, and the toolchains that are missing here."""
    lacking = [toolchain.PYPI_NAME[name] for name in toolchain.missing()]
    pinned = [_pinned(name) for name in lacking]
    return [*_scikit_build.get_requires_for_build_wheel(config_settings), *pinned]


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """One wheel: the Go library, the cffi and pybind11 modules and the Python sources."""
    toolchain.check_python()
    os.environ["CC"], os.environ["CXX"] = toolchain.compilers()
    return _scikit_build.build_wheel(wheel_directory, config_settings, metadata_directory)


def _pinned(name: str) -> str:
    """The version that requirements/ pins, so that a wheel is built with what was tested."""
    tool = {pypi: tool for tool, pypi in toolchain.PYPI_NAME.items()}[name]
    lines = (Path(toolchain.ROOT) / "requirements" / f"{tool}.txt").read_text().splitlines()
    return next(line.removesuffix("\\").strip() for line in lines if line.startswith(f"{name}=="))

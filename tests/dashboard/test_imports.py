"""The dashboard runs where no framework and no compiled part of pyfl is."""

from __future__ import annotations

import subprocess
import sys

import pytest

FOREIGN = ("tensorflow", "keras", "cffi", "_cffi_backend", "sklearn", "scipy", "fastapi", "uvicorn")
COMPILED = ("pyfl.kernels", "pyfl.overlay", "pyfl.aggregation", "pyfl.training", "pyfl.serving", "pyfl.cli")

EVERYTHING = """
import pkgutil, sys, importlib
import streamlit_app
for found in pkgutil.walk_packages(streamlit_app.__path__, "streamlit_app."):
    if found.name != "streamlit_app.dashboard":
        importlib.import_module(found.name)
print(*sorted(sys.modules), sep="\\n")
"""
# As in an image that has pyfl's Python files and neither its libraries nor a framework.
FORBIDDEN = """
import sys
for name in {names!r}:
    sys.modules[name] = None
"""


def modules(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    return modules(EVERYTHING)


@pytest.mark.parametrize("name", [*FOREIGN, *COMPILED])
def test_importing_all_of_it_brings_in_nothing_heavy(loaded: set[str], name: str) -> None:
    assert "streamlit_app.app_pages.swarm" in loaded
    assert "pyfl.peer.status" in loaded
    assert name not in loaded


def test_it_imports_where_none_of_that_exists() -> None:
    names = (*FOREIGN, "pyfl.kernels._core", "pyfl.overlay._p2plib", "pyfl.aggregation", "pyfl.training", "pyfl.serving")
    assert "streamlit_app.app_pages.predict" in modules(FORBIDDEN.format(names=names) + EVERYTHING)

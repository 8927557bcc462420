"""The one wheel has everything inside and works away from the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

CHECKOUT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    """A command's standard output; its standard error becomes the failure's text."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as pip builds it, from the files that git knows, with the build requirements installed here."""
    source = tmp_path_factory.mktemp("source")
    tracked = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=CHECKOUT).split("\0")
    for name in filter(None, tracked):
        origin = CHECKOUT / name
        if origin.is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(origin.read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", out, source, cwd=out)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with only the wheel, which borrows the dependencies installed for these tests."""
    venv = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=venv)
    python = venv / "bin" / "python"
    purelib = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=venv).strip())
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel, cwd=venv)
    # A path that is only appended has its own .pth files left unread: the checkout does not come along.
    (purelib / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv


def test_the_wheel_has_the_compiled_parts_and_the_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    assert "pyfl/py.typed" in names
    assert f"pyfl/kernels/_core{suffix}" in names
    assert "pyfl/kernels/_core.pyi" in names
    assert f"pyfl/overlay/_p2plib{suffix}" in names
    assert "pyfl/overlay/libp2p.so" in names
    dashboard = ("dashboard.py", "app_pages/swarm.py", ".streamlit/config.toml", "pictures/icon.png", "samples/digits/3.png")
    assert {f"streamlit_app/{name}" for name in dashboard} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "bindings/")) or name.endswith((".cpp", ".go"))]


def test_the_compiled_parts_load_from_the_installed_package(installed: Path) -> None:
    code = (
        "import numpy, pyfl.kernels, pyfl.overlay._p2plib as p2p\n"
        "a = numpy.ones(3, 'int32'); pyfl.kernels.add(a, a)\n"
        "handles, goroutines = p2p.ffi.new('int64_t *'), p2p.ffi.new('int64_t *')\n"
        "print(a.sum(), p2p.lib.p2p_debug(handles, goroutines), handles[0], pyfl.kernels.__file__)\n"
    )
    total, code_returned, handles, where = run(installed / "bin" / "python", "-c", code, cwd=installed).split()
    assert (total, code_returned, handles) == ("6", "0", "0")
    assert Path(where).is_relative_to(installed)


def test_the_command_is_installed(installed: Path) -> None:
    assert "demo" in run(installed / "bin" / "pyfl", "--help", cwd=installed)

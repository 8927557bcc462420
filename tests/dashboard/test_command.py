"""`pyfl dashboard`: finds whom to ask, says where it is, ends when told, and says what is missing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pyfl.events import RunAdopted
from pyfl.overlay.free_port import free_ports
from streamlit_app.connection.client import PeerApi
from streamlit_app.connection.targets import read_target
from tests.dashboard.fake_swarm import TOKEN, FakeSwarm
from tests.real.programs import Programs, environment

pytestmark = pytest.mark.real

WITHOUT_STREAMLIT = "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n, *a: None if n == 'streamlit' else f(n, *a)\n"


def line(*arguments: str, before: str = "") -> list[str]:
    return [sys.executable, "-c", f"{before}from pyfl.cli import main; main()", "dashboard", *arguments]


def refusal(directory: Path, *arguments: str, before: str = "") -> tuple[int, str]:
    done = subprocess.run(
        line(*arguments, before=before), cwd=directory, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr


def test_it_says_where_it_is_answers_there_and_ends_when_told(tmp_path: Path) -> None:
    (tmp_path / "http.token").write_text(TOKEN)
    port = str(free_ports(1)[0])
    with FakeSwarm() as swarm:
        options = ("--peer", swarm.peers[0].address, "--token-file", "http.token", "--port", port, "--no-browser")
        with subprocess.Popen(line(*options), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == f"dashboard: http://127.0.0.1:{port}\n"
                assert httpx.get(f"http://127.0.0.1:{port}/_stcore/health").status_code == 200
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 143
            finally:
                process.kill()
        with pytest.raises(httpx.ConnectError), httpx.Client() as client:
            client.get(f"http://127.0.0.1:{port}/_stcore/health")


def test_a_port_in_use_ends_with_3_and_names_who_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, told = refusal(tmp_path, "--peer", "127.0.0.1:1", "--port", str(taken.getsockname()[1]))
    assert code == 3
    assert f"Process {os.getpid()} listens there" in told


def test_without_streamlit_it_says_what_to_install(tmp_path: Path) -> None:
    code, told = refusal(tmp_path, before=WITHOUT_STREAMLIT)
    assert code == 1
    assert "pip install 'pyfl-swarm[dashboard]'" in told
    assert "Traceback" not in told


def test_a_data_directory_without_a_running_peer_is_an_error(tmp_path: Path) -> None:
    code, told = refusal(tmp_path, "--data-dir", str(tmp_path))
    assert code == 1
    assert "No peer is running" in told


def test_a_data_directory_tells_the_address_and_the_token_of_the_peer_that_runs_there(tmp_path: Path) -> None:
    port, http = free_ports(2)
    with Programs(tmp_path) as programs:
        options = ("--app", "linear", "--rounds", "1", "--min-peers", "2", "--data-dir", str(tmp_path / "peer"))
        peer = programs.start("127.0.0.1", str(port), "--http", str(http), *options)
        programs.until(lambda: bool(peer.said(RunAdopted)), 60.0, "it founds its run")
        target = read_target(["--data-dir", str(tmp_path)], {})
        assert target.addresses == (f"127.0.0.1:{http}",)
        with PeerApi(target.addresses[0], target.secret()) as api:
            assert api.status().http == f"127.0.0.1:{http}"


def test_a_peer_without_http_is_told_how_to_get_it(tmp_path: Path) -> None:
    [port] = free_ports(1)
    with Programs(tmp_path) as programs:
        options = ("--app", "linear", "--rounds", "1", "--min-peers", "2", "--data-dir", str(tmp_path / "peer"))
        peer = programs.start("127.0.0.1", str(port), *options)
        programs.until(lambda: bool(peer.said(RunAdopted)), 60.0, "it founds its run")
        code, told = refusal(tmp_path, "--data-dir", str(tmp_path / "peer"))
    assert code == 1
    assert "Start it with `--http 7780`" in told

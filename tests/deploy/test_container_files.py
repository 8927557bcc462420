"""The files in docker/ without an engine: what compose.yaml and the Dockerfile promise, and what the three scripts say and do."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from pyfl.overlay.free_port import free_ports
from pyfl.peer.settings import PeerSettings
from streamlit_app.connection import targets

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NAMED = [f"peer-{number}" for number in range(1, 7)]
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
STAGES = {name: body for _, name, body in re.findall(r"^FROM (\S+) AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)}
SETTINGS = {f"PYFL_{name.upper()}" for name in PeerSettings.__struct_fields__}
TOOLS = ("bash", "cat", "chmod", "dirname", "env", "grep", "mkdir", "od", "realpath", "rm", "sed", "sh", "touch", "tr")


# ---- compose.yaml


def test_each_peer_waits_until_the_one_before_it_is_ready() -> None:
    assert "depends_on" not in SERVICES["peer-1"]
    for before, name in pairwise(NAMED):
        assert SERVICES[name]["depends_on"] == {before: {"condition": "service_healthy"}}


def test_only_the_first_peer_founds_and_each_has_a_part_of_the_data_and_a_volume_of_its_own() -> None:
    joins = {name: SERVICES[name]["environment"].get("PYFL_JOIN") for name in [*NAMED, "peer"]}
    assert joins == {"peer-1": None, **dict.fromkeys([*NAMED[1:], "peer"], "peers:7700")}
    assert [SERVICES[name]["environment"]["PYFL_INDEX"] for name in NAMED] == [str(index) for index in range(6)]
    assert {SERVICES[name]["environment"]["PYFL_OF"] for name in NAMED} == {"6"}
    assert [SERVICES[name]["volumes"][0] for name in NAMED] == [f"{name}:/data" for name in NAMED]
    assert set(COMPOSE["volumes"]) == set(NAMED)


def test_what_compose_and_dockerfile_set_are_settings() -> None:
    for name in [*NAMED, "peer"]:
        assert set(SERVICES[name]["environment"]) <= SETTINGS, name
    assert set(re.findall(r"PYFL_\w+(?==)", STAGES["peer"])) <= SETTINGS
    assert set(SERVICES["dashboard"]["environment"]) <= {targets.PEERS, targets.TOKEN_FILE}


def test_the_dashboard_has_the_token_and_not_the_key_and_ports_are_published_to_this_machine_only() -> None:
    assert SERVICES["dashboard"]["secrets"] == ["http_token"]
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 2
    assert all(re.match(r"\$\{\w+:-127\.0\.0\.1:\d+\}:\d+$", port) for port in published)


def test_no_container_can_write_its_root_or_gain_rights() -> None:
    for name, service in SERVICES.items():
        assert (service["read_only"], service["cap_drop"], service["restart"]) == (True, ["ALL"], "on-failure"), name
        assert service["security_opt"] == ["no-new-privileges:true"], name


# ---- the Dockerfile


@pytest.mark.parametrize("name", ["peer", "dashboard"])
def test_an_image_has_no_compilers_a_user_an_init_and_a_health_check(name: str) -> None:
    assert re.search(rf"^FROM python AS {name}$", DOCKERFILE, re.MULTILINE)
    assert "apt-get" not in STAGES[name]
    assert re.findall(r"^USER (\S+)", STAGES[name], re.MULTILINE) == ["pyfl"]
    assert re.search(r'^ENTRYPOINT \["tini"', STAGES[name], re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", STAGES[name], re.MULTILINE)


def test_packages_come_by_hash_and_no_address_is_written_down() -> None:
    for line in re.findall(r"^.*pip install.*$", DOCKERFILE, re.MULTILINE):
        assert "--require-hashes" in line or "--no-index" in line, line
    for file in DOCKER.iterdir():
        if file.is_file() and file.name != "run.sh":  # which says where the dashboard is
            assert "://" not in file.read_text(), file.name


def test_the_image_of_the_dashboard_has_all_that_it_imports() -> None:
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements/dashboard.txt").read_text(), re.MULTILINE))
    assert not pinned & {"tensorflow", "tensorflow-cpu", "keras", "scikit-learn", "blake3"}
    owners = packages_distributions()
    absent = [name for name, given in owners.items() if not {re.sub(r"[-_.]+", "-", owner).lower() for owner in given} & pinned]
    assert "tensorflow" in absent
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", IMPORTS, *absent], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


IMPORTS = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

absent = set(sys.argv[1:])
sys.meta_path.insert(0, Absent())
import streamlit_app
for found in pkgutil.walk_packages(streamlit_app.__path__, "streamlit_app."):
    if found.name != "streamlit_app.dashboard":  # which draws
        importlib.import_module(found.name)
"""


# ---- docker/run.sh, with a docker that only writes down what it is told


FAKE_DOCKER = """#!/bin/sh
echo "docker $*" >> "$LOG"
case "$1 $2" in
"version --format") [ -z "${NO_ENGINE-}" ] || { echo "Cannot connect to the Docker daemon" >&2; exit 1; }; echo 20.10.24 ;;
"compose version") [ -z "${NO_COMPOSE-}" ] ;;
"compose up") env | grep ^PYFL_ >> "$LOG" ;;
esac
"""


class Script:
    """docker/run.sh in a copy of docker/, with a PATH that has nothing but the fake and what a shell script uses."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.bin, self.log = directory, directory / "bin", directory / "log"
        directory.mkdir(exist_ok=True)
        shutil.copytree(DOCKER, directory / "docker", ignore=shutil.ignore_patterns("secrets"))
        self.bin.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None
            (self.bin / tool).symlink_to(found)
        (self.bin / "docker").write_text(FAKE_DOCKER)
        (self.bin / "docker").chmod(0o755)
        api, dashboard = free_ports(2)
        self.environment = {
            "PATH": str(self.bin), "LOG": str(self.log), "PYFL_API": f"127.0.0.1:{api}", "PYFL_DASHBOARD": f"127.0.0.1:{dashboard}"
        }  # fmt: skip

    def run(self, *arguments: str, **more: str) -> tuple[int, str, list[str]]:
        """(exit code, stderr, what docker was told)."""
        self.log.write_text("")
        done = subprocess.run(
            ["docker/run.sh", *arguments], cwd=self.directory, env={**self.environment, **more}, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr, self.log.read_text().splitlines()


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


def test_run_builds_both_images_then_starts_six(script: Script) -> None:
    code, said, told = script.run()
    assert (code, said) == (0, "")
    steps = [line for line in told if re.match(r"docker (build|compose up)", line)]
    assert [re.search(r"--target (\S+)|compose up", line)[0] for line in steps] == ["--target peer", "--target dashboard", "compose up"]  # type: ignore[index]
    assert "--scale peer=0" in steps[-1]


def test_run_makes_a_key_that_only_its_owner_can_reach_and_keeps_it(script: Script) -> None:
    script.run()
    secrets = script.directory / "docker/secrets"
    key = (secrets / "swarm_key").read_text()
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert key != (secrets / "http_token").read_text()
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert (secrets / "swarm_key").stat().st_mode & 0o777 == 0o644  # the containers' user is another one
    script.run("down")
    script.run("--no-build")
    assert (secrets / "swarm_key").read_text() == key
    script.run("clean")
    assert not secrets.exists()


def test_run_mounts_cifar10_from_where_one_stands_and_scales_beyond_six(script: Script) -> None:
    (script.directory / "pictures.npz").touch()
    code, _, told = script.run("--cifar10", "pictures.npz", "--peers", "8", "--rounds", "5", "--no-build")
    assert code == 0
    assert not [line for line in told if line.startswith("docker build")]
    assert {"PYFL_APP=cifar10:partition=pathological:6", "PYFL_DATA=/dataset", "PYFL_ROUNDS=5"} <= set(told)
    assert f"PYFL_DATA_FILE={script.directory / 'pictures.npz'}" in told
    assert any("--scale peer=2" in line for line in told)


def test_run_goes_on_with_what_the_run_was_started_with(script: Script) -> None:
    (script.directory / "pictures.npz").touch()
    script.run("--cifar10", "pictures.npz", "--rounds", "5")
    script.run("down")
    _, _, told = script.run("--peers", "7")
    assert {"PYFL_APP=cifar10:partition=pathological:6", "PYFL_DATA=/dataset", "PYFL_ROUNDS=5"} <= set(told)
    ended, said, _ = script.run("--rounds", "6")
    assert ended == 1
    assert "volumes has PYFL_ROUNDS=5, and you say 6" in said
    script.run("clean")
    assert script.run("--rounds", "6")[0] == 0


def test_run_reads_what_is_set_beside_the_compose_file(script: Script) -> None:
    with (script.directory / "docker/.env").open("a") as file:
        file.write("PYFL_STRATEGY=fedadam\n")
    assert "PYFL_STRATEGY=fedadam" in script.run()[2]
    assert "PYFL_STRATEGY=fedavgm" in Script(script.directory / "other").run(PYFL_STRATEGY="fedavgm")[2]


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "says"),
    [
        ([], {"NO_ENGINE": "1"}, 1, "no Docker engine answers"),
        ([], {"NO_COMPOSE": "1"}, 1, "no Compose: install the plugin"),
        (["--cifar10", "absent.npz"], {}, 1, "there is no file absent.npz"),
        (["--cifar10"], {}, 1, "--cifar10 needs a value"),
        (["--rounds", "some"], {}, 1, "some is no number of rounds"),
        (["--peers", "5"], {}, 1, "expected six or more"),
        (["--fast"], {}, 2, "unknown: --fast"),
    ],
)
def test_run_says_what_is_missing_or_wrong(script: Script, arguments: list[str], environment: dict[str, str], code: int, says: str) -> None:
    ended, said, told = script.run(*arguments, **environment)
    assert (ended, says in said) == (code, True), said
    assert not [line for line in told if line.startswith(("docker build", "docker compose up"))]


def test_run_without_docker_names_the_packages(script: Script) -> None:
    (script.bin / "docker").unlink()
    assert "apt install docker.io docker-compose" in script.run()[1]


def test_run_finds_a_port_that_is_taken_before_anything_is_built(script: Script) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        ended, said, told = script.run(PYFL_API=taken)
    assert ended == 1
    assert f"{taken}, for the API of peer-1, is taken" in said
    assert "PYFL_API=127.0.0.1:" in said
    assert not [line for line in told if line.startswith("docker build")]


# ---- what runs inside


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "says"),
    [
        (["peer"], {}, 5, "this container has no swarm key"),
        (["peer", "--name", "pyfl-1"], {}, 5, "this container has no swarm key"),
        (["peer"], {"PYFL_SWARM_KEY": "{}"}, 5, "is a directory"),
        (["peer"], {"PYFL_SWARM_KEY": "{}/absent"}, 5, "cannot be read"),
        (["peer"], {"PYFL_DATA_DIR": "{}/file/data", "PYFL_SWARM_KEY": "a" * 64}, 5, "cannot be written"),
        (["peer"], {"PYFL_SWARM_KEY": "a" * 64}, 0, "pyfl peer as"),
        (["peer", "--join", "pyfl-abc"], {}, 0, "pyfl peer --join pyfl-abc as"),
        (["peer"], {"PYFL_JOIN": "pyfl-abc", "PYFL_NAME": "otter"}, 0, "pyfl peer as otter"),
        (["status"], {}, 0, "pyfl status as"),
    ],
)
def test_a_container_starts_only_with_what_a_peer_needs(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], code: int, says: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "pyfl").write_text('#!/bin/sh\necho "pyfl $* as ${PYFL_NAME-}"\n')
    (tmp_path / "pyfl").chmod(0o755)
    given = {name: value.format(tmp_path) for name, value in environment.items()}
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYFL_DATA_DIR": str(tmp_path / "data"), **given}
    done = subprocess.run(
        ["sh", DOCKER / "entrypoint.sh", *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, says in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr


class _Ready(http.server.BaseHTTPRequestHandler):
    token: ClassVar[str] = "t" * 64

    def do_GET(self) -> None:
        known = self.headers["Authorization"] == f"Bearer {self.token}"
        self.send_response(200 if self.path == "/readyz" and known else 401)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing on stderr."""


@pytest.fixture
def ready_port() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Ready) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield str(server.server_address[1])
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("token", "path", "code"), [("t" * 64, "/readyz", 0), ("wrong", "/readyz", 1), ("t" * 64, "/else", 1)])
def test_health_is_an_answer_of_200(tmp_path: Path, ready_port: str, token: str, path: str, code: int) -> None:
    (tmp_path / "token").write_text(f"{token}\n")
    command = ["bash", DOCKER / "healthy.sh", ready_port, path, tmp_path / "token"]
    assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == code


def test_nobody_listening_is_not_healthy() -> None:
    [port] = free_ports(1)
    assert subprocess.run(["bash", DOCKER / "healthy.sh", str(port), "/"], capture_output=True, timeout=30, check=False).returncode == 1

"""The story of docs/deploy/docker.md on an engine of its own: six containers, a drill, a seventh, and what goes wrong.

Some four minutes, most of them for building the images: `make soak`, or `pytest -m soak tests/deploy/test_docker.py -s`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyfl.overlay.free_port import free_ports
from tests.deploy.container_engine import BASE, Engine, engine, reason_for_none

pytestmark = [pytest.mark.real, pytest.mark.soak, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 240.0
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="module")
def running_engine() -> Iterator[Engine]:
    if reason := reason_for_none():
        pytest.skip(reason)
    with engine() as started:
        yield started


@dataclass
class Swarm:
    """Six containers that docker/run.sh started, in a copy of the checkout."""

    engine: Engine
    checkout: Path
    project: str
    environment: dict[str, str]

    def script(self, *arguments: str, timeout_s: float = 900.0) -> str:
        done = subprocess.run(
            ["docker/run.sh", *arguments],
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"docker/run.sh {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def peer(self, number: int) -> str:
        return f"{self.project}-peer-{number}"

    def tell(self, number: int, *arguments: str) -> Any:
        return [json.loads(line) for line in self.engine.docker("exec", self.peer(number), "pyfl", *arguments, "--json").splitlines()]

    def follow(self, number: int, until: Callable[[dict[str, Any]], bool], after: int = 0) -> dict[str, Any]:
        """The first event of a peer, from id `after` on, that satisfies `until`; AssertionError if none comes."""
        command = ["docker", "exec", self.peer(number), "pyfl", "events", "--follow", "--json", "--after", str(after)]
        with subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            patience = threading.Timer(PATIENCE_S, process.kill)
            patience.start()
            try:
                assert process.stdout is not None
                assert process.stderr is not None
                for line in process.stdout:
                    event = json.loads(line)
                    if until(event):
                        return event
                raise AssertionError(f"{self.peer(number)} told of no such event in {PATIENCE_S:g} s: {process.stderr.read()}")
            finally:
                patience.cancel()
                process.kill()

    def last_event(self, number: int) -> int:
        return self.tell(number, "events")[-1]["id"]

    @property
    def api(self) -> str:
        return f"http://{self.environment['PYFL_API']}"

    @property
    def token(self) -> str:
        return (self.checkout / "docker/secrets/http_token").read_text().strip()


@pytest.fixture(scope="module")
def swarm(running_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Swarm:
    checkout = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name)
    api, dashboard = free_ports(2)
    project = f"pyfl-test-{secrets.token_hex(3)}"
    # This machine's way to the package index, as docs/deploy/docker.md describes it.
    options = ["--network host"]
    options += [f"--secret id=ca.crt,src={BUNDLE}"] if BUNDLE.exists() else []
    options += ["--secret id=pip.conf,src=/etc/pip.conf"] if Path("/etc/pip.conf").exists() else []
    options += [f"--build-arg {name}={value}" for name in ("PIP_INDEX_URL", "GOPROXY", "GOSUMDB") if (value := os.environ.get(name))]
    environment = {
        **running_engine.environment, "COMPOSE_PROJECT_NAME": project, "PYFL_BASE": BASE, "PYFL_BUILD_OPTIONS": " ".join(options),
        "PYFL_API": f"127.0.0.1:{api}", "PYFL_DASHBOARD": f"127.0.0.1:{dashboard}",
    }  # fmt: skip
    made = Swarm(running_engine, checkout, project, environment)
    made.script("--rounds", "1000000")
    return made


def committed_by(peers: int) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["data"]["event"] == "round_committed" and len(event["data"]["contributors"]) == peers


def ask(url: str, token: str = "", body: bytes | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "image/png"} if body else {})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_six_containers_join_one_after_another_and_learn_digits(swarm: Swarm) -> None:
    swarm.follow(1, committed_by(6))  # the last container has only just been started
    joined = [event["data"]["name"] for event in swarm.tell(1, "events") if event["data"]["event"] == "peer_joined"]
    assert joined[:5] == [f"peer-{number}" for number in range(2, 7)]
    learned = swarm.follow(1, lambda event: event["data"]["event"] == "round_committed" and (event["data"]["accuracy"] or 0) > 0.9)
    same = swarm.follow(6, lambda event: event["data"].get("round") == learned["data"]["round"] and "digest" in event["data"])
    assert same["data"]["digest"] == learned["data"]["digest"]


def test_the_image_is_small_and_has_no_compiler_and_no_rights(swarm: Swarm) -> None:
    sizes = {name: int(swarm.engine.docker("image", "inspect", "-f", "{{.Size}}", name)) for name in ("pyfl", "pyfl-dashboard")}
    print("\nimage sizes:", {name: f"{size / 1e9:.2f} GB" for name, size in sizes.items()})
    assert sizes["pyfl"] < 1.6e9
    assert sizes["pyfl-dashboard"] < 0.7e9
    inside = "for tool in cc gcc g++ make go git; do command -v $tool; done; id -u; pip --version >/dev/null && echo pip"
    assert swarm.engine.docker("exec", swarm.peer(1), "sh", "-c", inside).split() == ["10001", "pip"]
    alone = swarm.engine.run("docker", "run", "--rm", "--network", "none", "pyfl-dashboard", "python", "-c", "import tensorflow")
    assert "No module named 'tensorflow'" in alone.stderr


def test_a_prediction_comes_through_the_published_port_and_only_with_the_token(swarm: Swarm, tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    Image.fromarray((np.asarray(pixels)[3].reshape(8, 8) * 255 / 16).astype(np.uint8)).save(tmp_path / "three.png")
    picture = (tmp_path / "three.png").read_bytes()
    assert ask(f"{swarm.api}/v1/predict", body=picture)[0] == 401
    status, body = ask(f"{swarm.api}/v1/predict", swarm.token, picture)
    assert (status, json.loads(body)["predictions"][0]["label"]) == (200, int(np.asarray(labels)[3]))


def test_the_dashboard_answers_on_its_port(swarm: Swarm) -> None:
    status, page = ask(f"http://{swarm.environment['PYFL_DASHBOARD']}/")
    assert status == 200
    assert b"<title>" in page


def test_two_killed_containers_come_back_from_their_volumes(swarm: Swarm) -> None:
    before = {entry["name"]: entry["peer"] for entry in swarm.tell(6, "peers")}
    seen = swarm.last_event(6)
    killed = [swarm.peer(1), swarm.peer(4)]  # the founder is one of them
    swarm.engine.docker("kill", *killed)
    swarm.follow(6, committed_by(4), after=seen)
    seen = swarm.last_event(6)
    for name in reversed(killed):  # in the other order, so that the engine hands each the other's address
        swarm.engine.docker("start", name)
    swarm.follow(6, committed_by(6), after=seen)
    assert {entry["name"]: entry["peer"] for entry in swarm.tell(6, "peers")} == before


def test_a_seventh_container_is_discovered_and_contributes(swarm: Swarm) -> None:
    seen = swarm.last_event(6)
    swarm.script("up", "--no-build", "--peers", "7")
    swarm.follow(6, committed_by(7), after=seen)


def test_containers_that_stop_and_start_together_go_on_with_their_run(swarm: Swarm) -> None:
    before, seen = swarm.tell(2, "status")[0], swarm.last_event(2)
    swarm.script("down")
    swarm.script("up", "--no-build")
    swarm.follow(2, committed_by(6), after=seen)
    after = swarm.tell(2, "status")[0]
    assert (after["run"], after["peer"]) == (before["run"], before["peer"])
    assert after["round"] > before["round"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "this container has no swarm key"),
        (["-v", "{}/absent:/run/secrets/swarm_key:ro"], "is a directory"),
        (["-v", "{}/closed:/run/secrets/swarm_key:ro"], "cannot be read by user 10001"),
        (["-v", "{}/nobodys:/data"], "/data cannot be written by user 10001"),
    ],
)
def test_a_container_without_key_or_volume_says_what_to_do(swarm: Swarm, tmp_path: Path, options: list[str], says: str) -> None:
    (tmp_path / "closed").write_text("0" * 64)
    (tmp_path / "closed").chmod(0o600)
    (tmp_path / "nobodys").mkdir()
    done = swarm.engine.run("docker", "run", "--rm", "--network", "none", *(option.format(tmp_path) for option in options), "pyfl")
    assert done.returncode == 5
    assert says in done.stderr


def test_clean_leaves_no_container_volume_network_or_key(swarm: Swarm) -> None:
    swarm.script("clean")
    for listed in (["ps", "-aq"], ["volume", "ls", "-q"], ["network", "ls", "-q", "--filter", "type=custom"]):
        assert swarm.engine.docker(*listed) == ""
    assert not (swarm.checkout / "docker/secrets").exists()

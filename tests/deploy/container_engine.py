"""A Docker engine of a test's own: its data, socket and containers in one directory, and nothing of it left afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BASE", "Engine", "engine", "reason_for_none"]

BASE = "pyfl-test-base"
"""The image that stands for debian:trixie-slim: made by debootstrap, so that no registry is asked."""
PACKAGES = {"dockerd": "docker.io", "docker-compose": "docker-compose", "debootstrap": "debootstrap"}
PATH = f"/usr/bin:/usr/sbin:{os.environ['PATH']}"
"""The distribution's docker first: it fits its engine, and builds without a plugin."""


def reason_for_none() -> str:
    """Why no engine can be started here; empty if one can. Under CI, root installs what is missing from the distribution."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "an engine of the test's own needs root on Linux"
    missing = [package for command, package in PACKAGES.items() if shutil.which(command, path=PATH) is None]
    if not missing:
        return ""
    install = f"apt-get install --no-install-recommends {' '.join(missing)}"
    if not os.environ.get("CI") or shutil.which("apt-get") is None:
        return f"missing here: {install} (under CI=1 this test does it itself)"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ("apt-get update", f"{install} --yes"):
        done = subprocess.run(command.split(), env=environment, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            return f"`{command}` failed: {done.stderr.strip()[-500:]}"
    return ""


@dataclass(frozen=True)
class Engine:
    """A running engine; `environment` leads docker and docker-compose to it and to no other."""

    directory: Path
    environment: Mapping[str, str]

    def run(self, *command: str | Path, timeout_s: float = 120.0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Any command, whatever its exit code; its outputs as text."""
        line = [str(part) for part in command]
        return subprocess.run(line, cwd=cwd, env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=False)

    def docker(self, *arguments: str | Path, timeout_s: float = 120.0) -> str:
        """`docker ARGUMENTS`: its standard output. Raises `AssertionError` with all that it said if it fails."""
        done = self.run("docker", *arguments, timeout_s=timeout_s)
        assert done.returncode == 0, f"docker {' '.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()


@contextmanager
def engine() -> Iterator[Engine]:
    """Start an engine without touching firewall, forwarding or any other engine's networks; end it whatever happens."""
    directory = Path(tempfile.mkdtemp(prefix="pyfl-engine-", dir="/var/tmp"))  # room for images, and a path short enough for sockets
    socket = f"unix://{directory / 'd.sock'}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYFL_", "DOCKER_", "COMPOSE_"))}
    started = Engine(
        directory, {**kept, "PATH": PATH, "DOCKER_HOST": socket, "DOCKER_CONFIG": str(directory / "config"), "DOCKER_BUILDKIT": "1"}
    )
    with (directory / "dockerd.log").open("w") as log:
        # It ends with this process, should that be killed before it can say so.
        command = ["setpriv", "--pdeathsig", "TERM", "dockerd", "--host", socket, "--pidfile", str(directory / "dockerd.pid")]
        command += ["--data-root", str(directory / "data"), "--exec-root", str(directory / "exec"), "--bridge=none"]
        command += ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
        daemon = subprocess.Popen(command, env=started.environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        # docker itself waits for nothing, so the wait is for the line that the daemon writes when it listens.
        _until_listening(daemon, directory / "dockerd.log")
        _make_base(started)
        yield started
    finally:
        _end(started, daemon)


def _until_listening(daemon: subprocess.Popen[bytes], log: Path) -> None:
    with subprocess.Popen(["tail", "-n", "+1", "-F", "--pid", str(daemon.pid), log], stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        said = ""
        for line in follower.stdout:
            said += line
            if "API listen on" in line:
                follower.terminate()
                return
    raise AssertionError(f"dockerd ended:\n{said}")


def _make_base(engine: Engine) -> None:
    root = engine.directory / "base"
    done = engine.run("debootstrap", "--variant=minbase", "--include=ca-certificates", "trixie", root, timeout_s=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for cache in ("var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(root / cache)
        (root / cache).mkdir()
    done = engine.run("sh", "-c", f"tar -C '{root}' -c . | docker import - {BASE}", timeout_s=300)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(root)


def _end(engine: Engine, daemon: subprocess.Popen[bytes]) -> None:
    bridges: list[str] = []
    if daemon.poll() is None:
        containers = engine.run("docker", "ps", "--all", "--quiet").stdout.split()
        if containers:
            engine.run("docker", "rm", "--force", "--volumes", *containers)
        networks = engine.run("docker", "network", "ls", "--quiet", "--filter", "type=custom").stdout.split()
        bridges = [f"br-{network}" for network in networks]
        if networks:
            engine.run("docker", "network", "rm", *networks)
        daemon.terminate()
        try:
            daemon.wait(30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
    # What an engine that was killed leaves: its containerd, bridges, and mounts that keep the directory busy.
    pid_file = engine.directory / "exec" / "containerd" / "containerd.pid"
    if pid_file.exists() and Path(f"/proc/{pid_file.read_text().strip()}").exists():
        os.kill(int(pid_file.read_text()), 9)
    for bridge in bridges:
        if Path(f"/sys/class/net/{bridge}").exists():
            subprocess.run(["ip", "link", "delete", bridge], check=False)
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in reversed(points):
        if point.startswith(f"{engine.directory}/"):
            subprocess.run(["umount", "--lazy", point], check=False)
    shutil.rmtree(engine.directory)

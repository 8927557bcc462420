"""The dashboard as a process of its own: Streamlit in this environment, told whom to ask, ended with whoever started it."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from urllib.error import URLError

from pyfl.errors import AddressInUse, DashboardMissing

__all__ = ["LOOPBACK", "DashboardProcess", "is_free", "require_dashboard"]

LOOPBACK = "127.0.0.1"
END_S = 2.0
LOOK_S = 0.1
INSTALL = "Install it: pip install 'pyfl-swarm[dashboard]', or pip install 'streamlit>=1.64'."


def require_dashboard() -> Path:
    """The dashboard's file. Raises `DashboardMissing`; imports nothing, as Streamlit takes a second."""
    if importlib.util.find_spec("streamlit") is None:
        raise DashboardMissing(f"The dashboard needs Streamlit, which is not installed in {sys.prefix}. {INSTALL}")
    found = importlib.util.find_spec("streamlit_app")
    if found is None or not found.submodule_search_locations:
        raise DashboardMissing("The dashboard (streamlit_app) is not installed beside pyfl. It is in pyfl's wheel.")
    return Path(found.submodule_search_locations[0]) / "dashboard.py"


class DashboardProcess:
    """Starts on entry and is ended on exit, within 2 s. Its output goes to `log`, or nowhere."""

    def __init__(
        self, peers: Sequence[str] = (), token_file: Path | None = None, port: int = 8501, host: str = LOOPBACK, log: Path | None = None
    ) -> None:
        """`peers`: HTTP addresses. `token_file` need not exist yet. Raises `DashboardMissing` or `AddressInUse`."""
        self._file, self._log = require_dashboard(), log
        if not is_free(host, port):
            from pyfl.cli.port_owner import listener

            raise AddressInUse(f"The dashboard cannot listen on {host}:{port}. {listener(f'{host}:{port}')}")
        self._host, self._port = host, port
        self.url = f"http://{LOOPBACK if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104 - recognised, not bound
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(self._file.parent.parent), os.environ.get("PYTHONPATH")])),
        }
        for name in [name for name in self._environment if name.startswith("PYFL_DASHBOARD_")]:
            del self._environment[name]
        if peers:
            self._environment["PYFL_DASHBOARD_PEERS"] = ",".join(peers)
        if token_file is not None:
            self._environment["PYFL_DASHBOARD_TOKEN_FILE"] = str(token_file.absolute())
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> DashboardProcess:
        command = [
            sys.executable, "-m", "streamlit", "run", str(self._file),
            f"--server.port={self._port}", f"--server.address={self._host}", "--server.headless=true", "--browser.gatherUsageStats=false",
        ]  # fmt: skip
        out = self._log.open("ab") if self._log is not None else None
        try:
            # A session of its own: a terminal's Ctrl-C reaches whoever started it, who then ends it.
            self._process = subprocess.Popen(  # noqa: S603
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out or subprocess.DEVNULL,
                stderr=out,
                start_new_session=True,
            )
        finally:
            if out is not None:
                out.close()
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid if self._process is not None else 0

    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll() if self._process is not None else None

    def wait_until_up(self, timeout_s: float) -> bool:
        """True once a browser would get an answer; False if it ended, or has none after `timeout_s`."""
        for _ in range(int(timeout_s / LOOK_S)):
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1.0):  # noqa: S310 - http, on this machine
                    return True
            except (URLError, OSError):
                if self._process is None or self._ended_within(LOOK_S):
                    return False
        return False

    def ask_to_end(self) -> None:
        """Have it end soon; leaving the block waits for it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> int:
        """Its exit code, once it ends."""
        return self._process.wait() if self._process is not None else 0

    def _ended_within(self, seconds: float) -> bool:
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is None:
            return
        self.ask_to_end()
        if not self._ended_within(END_S):
            self._process.kill()
            self._process.wait()


def is_free(host: str, port: int) -> bool:
    """Whether something could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True

"""`pyfl demo --dashboard` in a browser: real peers that train, every page, a kill, a picture, and the end of all of it."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

import streamlit_app
from pyfl.cli.port_owner import listener
from tests.dashboard.browser import Window, chromium, window
from tests.real.programs import environment

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

NAMES = ("otter", "heron", "lynx", "badger")
TITLES = ("Swarm", "Peers", "Learning", "Rounds", "Events", "Predict")
SAMPLES = Path(streamlit_app.__file__).parent / "samples"
WATCHED_S = 60.0
LOOK_MS = 300


class Demo:
    """The command, its dashboard's address, and its peers."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        line = [
            sys.executable,
            "-c",
            "from pyfl.cli import main; main()",
            "demo",
            "--dashboard",
            "--peers",
            str(len(NAMES)),
            "--rounds",
            "2000",
        ]
        line += ["--seed", "1", "--limit-samples", "120", "--json", "--data-dir", str(self.data)]
        with (directory / "demo.log").open("wb") as log:
            self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=log, cwd=directory, env=environment())
        assert self.process.stdout is not None
        first = json.loads(self.process.stdout.readline())
        assert first["event"] == "dashboard", first
        self.url, self.dashboard = str(first["url"]), int(first["pid"])
        self.drain = subprocess.Popen(["cat"], stdin=self.process.stdout, stdout=subprocess.DEVNULL)  # or the pipe fills
        self.process.stdout.close()

    def ask(self, path: str, **more: Any) -> httpx.Response:
        """Any of its peers that answers."""
        for name in NAMES:
            with suppress(httpx.TransportError, FileNotFoundError, IndexError):
                token = (self.data / name / "http.token").read_text().strip()
                transport = httpx.HTTPTransport(uds=str(self.data / name / "http.sock"))
                with httpx.Client(transport=transport, base_url="http://peer", headers={"Authorization": f"Bearer {token}"}) as client:
                    return client.request(more.pop("method", "GET"), path, **more)
        raise AssertionError("no peer answers")

    def pid(self, name: str) -> int:
        """Of a peer."""
        [address] = [peer["http"] for peer in self.ask("/v1/peers").json() if peer["name"] == name]
        found = re.match(r"Process (\d+) listens there", listener(address))
        assert found, listener(address)
        return int(found[1])

    def end(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.drain.wait()
        for pid in (self.dashboard,):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo"))
    try:
        yield demo
    finally:
        demo.close()


@pytest.fixture(scope="module")
def shown(demo: Demo) -> Iterator[Window]:
    try:
        executable = chromium()
    except (FileNotFoundError, subprocess.TimeoutExpired) as why:
        pytest.skip(str(why))
    with window(executable) as opened:
        for _ in range(100):  # it starts while the framework is loaded
            with suppress(Exception):
                opened.page.goto(demo.url, timeout=5_000)
                break
            opened.page.wait_for_timeout(200)
        opened.page.get_by_text(re.compile("Round [1-9]")).first.wait_for(timeout=90_000)
        opened.complaints.clear()  # of a server that was not there yet
        yield opened


def test_every_page_shows_what_the_peers_do(shown: Window) -> None:
    page = shown.page
    page.get_by_text("live").first.wait_for()
    assert set(NAMES) <= set(shown.texts())
    assert page.get_by_test_id("stMetric").count() == 6
    assert re.search(r"\d+ of 2000", page.get_by_test_id("stMetric").first.inner_text())

    shown.open("Peers")
    page.get_by_test_id("stDataFrame").first.wait_for()
    shown.open("Learning")
    page.locator(".st-key-classes").wait_for()
    page.locator(".st-key-loss canvas").first.wait_for()
    shown.open("Rounds")
    page.locator(".st-key-timeline canvas").first.wait_for()
    page.get_by_test_id("stDataFrame").first.wait_for()
    shown.open("Events")
    page.get_by_test_id("stDataFrame").first.wait_for()
    page.get_by_text(re.compile(r"of the \d+ events")).wait_for()
    shown.open("Predict")
    page.get_by_test_id("stImage").first.wait_for()
    assert page.get_by_test_id("stException").count() == 0


def test_a_picture_that_is_uploaded_is_answered_as_the_api_answers_it(shown: Window, demo: Demo) -> None:
    shown.open("Predict")
    page, picture = shown.page, SAMPLES / "digits/0.png"
    page.get_by_text("Upload", exact=True).first.click()
    page.locator("input[type=file]").set_input_files(str(picture))
    page.get_by_text("Said by the model of round").wait_for(timeout=60_000)
    said = page.get_by_role("heading", level=3).inner_text()
    answer = demo.ask("/v1/predict", method="POST", content=picture.read_bytes(), headers={"Content-Type": "image/png"}).json()
    assert said.split()[0] == answer["predictions"][0]["class"]


def test_a_file_that_is_no_picture_is_refused_with_a_sentence(shown: Window) -> None:
    page = shown.page  # where the test before left it
    page.locator("input[type=file]").set_input_files([{"name": "hello.png", "mimeType": "image/png", "buffer": b"not a picture"}])
    page.get_by_test_id("stAlert").first.wait_for()
    assert page.get_by_test_id("stException").count() == 0
    buffer = io.BytesIO()
    Image.new("L", (8, 8), 200).save(buffer, "PNG")
    page.locator("input[type=file]").set_input_files([{"name": "grey.png", "mimeType": "image/png", "buffer": buffer.getvalue()}])
    page.get_by_text("Said by the model of round").wait_for()


def test_a_minute_of_rounds_and_a_kill_shows_no_blank_frame_and_moves_nobody(shown: Window, demo: Demo) -> None:
    shown.open("Swarm")
    page = shown.page
    page.locator(".st-key-swarm-graph svg text").first.wait_for()
    places, frames, killed = shown.nodes(), 0, False
    assert len(places) == len(NAMES)
    end = time.monotonic() + WATCHED_S
    values: set[str] = set()
    while time.monotonic() < end:
        assert page.get_by_test_id("stMetric").count() == 6
        assert set(NAMES) <= set(shown.texts())
        assert shown.nodes() == places
        assert shown.dimmed() == 0
        values.add(page.get_by_test_id("stMetric").first.inner_text())
        frames += 1
        if not killed and time.monotonic() > end - WATCHED_S / 2:
            os.kill(demo.pid("lynx"), signal.SIGKILL)
            killed = True
        page.wait_for_timeout(LOOK_MS)
    assert frames > 50
    assert len(values) > 10, "the page stood still"
    assert "died" in shown.texts()
    assert shown.nodes() == places


def test_nothing_was_asked_of_other_hosts_and_the_console_is_silent(shown: Window) -> None:
    for title in TITLES:
        shown.open(title)
    assert shown.elsewhere == []
    assert shown.complaints == []


def test_ctrl_c_ends_peers_and_dashboard(demo: Demo) -> None:
    peers = [demo.pid(name) for name in ("otter", "heron", "badger")]
    demo.end()
    assert demo.process.returncode == 130
    for pid in (*peers, demo.dashboard):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

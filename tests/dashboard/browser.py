"""A Chromium to look at the dashboard with: Debian's, headless, that may talk to this machine only."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, Route, sync_playwright

__all__ = ["Window", "chromium", "window"]

NAMES = ("chromium", "chromium-browser", "google-chrome")
HERE = {"127.0.0.1", "localhost"}
ARGUMENTS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]
INSTALL_S = 300.0

GRAPH = """
(() => {
  const nodes = [...document.querySelectorAll('.st-key-swarm-graph svg path')]
    .map(path => /^matrix\\(([\\d.]+),0,0,([\\d.]+),([\\d.]+),([\\d.]+)\\)$/.exec(path.getAttribute('transform') || ''))
    .filter(found => found && Number(found[1]) > 8)
    .map(found => [Number(found[3]), Number(found[4])]);
  return nodes.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
})()
"""
TEXTS = "[...document.querySelectorAll('.st-key-swarm-graph svg text')].map(text => text.textContent)"
DIMMED = """
[...document.querySelectorAll('[data-testid=stMain] [data-testid=stElementContainer]')]
  .filter(element => Number(getComputedStyle(element).opacity) < 0.5).length
"""


def chromium() -> str:
    """Where it is; installed if this is Debian and we may. Raises `FileNotFoundError` with the reason if there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    if os.geteuid() or not shutil.which("apt-get"):
        raise FileNotFoundError("there is no chromium, and it cannot be installed without apt-get and root: apt-get install chromium")
    for command in (["apt-get", "-qq", "update"], ["apt-get", "-qq", "install", "-y", "--no-install-recommends", "chromium"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode:
            raise FileNotFoundError(f"there is no chromium, and {' '.join(command)} failed: {done.stderr[-300:]}")
    return shutil.which("chromium") or "/usr/bin/chromium"


@dataclass
class Window:
    """A page and what it said and asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list[str])
    """Errors on the console, exceptions, and answers that were refused."""
    elsewhere: list[str] = field(default_factory=list[str])
    """Requests to other hosts; all were aborted."""

    def nodes(self) -> list[tuple[float, float]]:
        """The centre of each peer in the graph, in pixels of the chart."""
        return [(x, y) for x, y in self.page.evaluate(GRAPH)]

    def texts(self) -> list[str]:
        """Every text in the graph."""
        return self.page.evaluate(TEXTS)

    def dimmed(self) -> int:
        """How many elements are faded, as Streamlit has those that it thinks are out of date."""
        return self.page.evaluate(DIMMED)

    def open(self, title: str) -> None:
        """Go to a page by its entry at the side."""
        self.page.get_by_role("link", name=title, exact=True).click()
        self.page.get_by_role("heading", name=title, exact=True, level=1).wait_for()


@contextmanager
def window(executable: str) -> Iterator[Window]:
    """A window of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        try:
            context = browser.new_context(viewport={"width": 1280, "height": 1000})
            shown = Window(context.new_page())

            def route(asked: Route) -> None:
                url = urlsplit(asked.request.url)
                if url.scheme in ("data", "blob") or url.hostname in HERE:
                    asked.continue_()
                else:
                    shown.elsewhere.append(asked.request.url)
                    asked.abort()

            def say(message: Any) -> None:
                if message.type == "error":
                    shown.complaints.append(message.text)

            context.route("**/*", route)
            shown.page.on("console", say)
            shown.page.on("pageerror", lambda error: shown.complaints.append(str(error)))
            shown.page.on(
                "response", lambda answer: shown.complaints.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
            )
            yield shown
        finally:
            browser.close()

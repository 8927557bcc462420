"""Whom to ask and with which token: from the command line, the environment, or a data directory."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamlit_app.connection.data_directory import TOKEN as TOKEN_FILE_NAME
from streamlit_app.connection.data_directory import homes, http_address

__all__ = ["Target", "read_target"]

PEERS, TOKEN, TOKEN_FILE, DATA_DIR = "PYFL_DASHBOARD_PEERS", "PYFL_DASHBOARD_TOKEN", "PYFL_DASHBOARD_TOKEN_FILE", "PYFL_DASHBOARD_DATA_DIR"


@dataclass(frozen=True, slots=True)
class Target:
    """Peers to begin with, host:port each, and their token, or the file in which it is (or will be, once a peer has started)."""

    addresses: tuple[str, ...] = ()
    token: str = ""
    token_file: str = ""

    def secret(self) -> str:
        """The token; empty while its file does not exist."""
        if self.token or not self.token_file:
            return self.token
        try:
            return Path(self.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""  # without a token the peer answers 401, and the page says where a token is


def read_target(arguments: Sequence[str], environment: Mapping[str, str]) -> Target:
    """Arguments go before environment. With a data directory the rest may be left out: it has the token and the peer's address."""
    parser = argparse.ArgumentParser(prog="streamlit run streamlit_app/dashboard.py --", description="Whom the dashboard asks.")
    parser.add_argument("--peer", action="append", default=[], metavar="HOST:PORT", help="the HTTP address of a peer; may be repeated")
    parser.add_argument("--token-file", default="", metavar="FILE", help="http.token of any peer of the swarm")
    parser.add_argument("--data-dir", default="", metavar="DIR", help="a peer's data directory, or one with several of them")
    given = parser.parse_args(arguments)
    directory = given.data_dir or environment.get(DATA_DIR, "")
    places = homes(Path(directory)) if directory else []
    peers = given.peer or _split(environment.get(PEERS, "")) or [address for home in places if (address := http_address(home))]
    token_file = given.token_file or environment.get(TOKEN_FILE, "") or next((str(home / TOKEN_FILE_NAME) for home in places), "")
    return Target(tuple(dict.fromkeys(peers)), "" if given.token_file else environment.get(TOKEN, ""), token_file)


def _split(text: str) -> list[str]:
    return [address for address in text.replace(",", " ").split() if address]

"""Talks to a running peer over the Unix socket in its data directory."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
import msgspec

from pyfl.errors import ApiError, ControlError, NoPeerRunning
from pyfl.events import Stamped
from pyfl.peer.status import PeerEntry, RoundEntry, Status
from pyfl.serving.places import published_socket

__all__ = ["PeerClient"]

TIMEOUT_S = 10.0
OK, BAD_REQUEST = 200, 400
T = TypeVar("T")


class PeerClient:
    """Raises `NoPeerRunning`, at once or when called, if nothing answers in `data_dir`.

    Calls raise `ControlError` for a refused command, else `ApiError`.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._place = str(published_socket(data_dir))
        self._probe()
        transport = httpx.HTTPTransport(uds=self._place)
        self._http = httpx.Client(transport=transport, base_url="http://peer", timeout=TIMEOUT_S)

    def status(self) -> Status:
        """Where the peer and the swarm stand."""
        return self._get("/v1/status", Status)

    def peers(self) -> list[PeerEntry]:
        """Every peer that it knows, itself first."""
        return self._get("/v1/peers", list[PeerEntry])

    def rounds(self) -> list[RoundEntry]:
        """The remembered committed rounds, oldest first."""
        return self._get("/v1/rounds", list[RoundEntry])

    def tree(self, segment: int = 0) -> dict[str, Any]:
        """Each member's parent for one segment."""
        return self._get("/v1/tree", dict[str, Any], segment=segment)

    def events(self, last: int = 0) -> list[Stamped]:
        """The remembered events after number `last`."""
        return self._get("/v1/events", list[Stamped], after=last)

    def follow(self, last: int = 0) -> Iterator[Stamped]:
        """Events after number `last`, then each as it happens; ends when the peer does."""
        self._probe()
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
        try:
            with self._http.stream("GET", "/v1/events", headers=headers, timeout=httpx.Timeout(TIMEOUT_S, read=None)) as answer:
                if answer.status_code != OK:
                    answer.read()
                    raise _refusal(answer)
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        yield _decode(line[6:].encode(), Stamped)
        except httpx.RemoteProtocolError:
            return  # killed while we listened: there is nothing more to tell
        except httpx.TransportError as error:
            raise self._nobody(error) from error

    def control(self, command: str, argument: str = "") -> str:
        """pause, resume, leave, kick PEER or stop; returns a sentence about it."""
        answer = self._send("POST", "/v1/control", json={"command": command, "argument": argument})
        return _decode(answer.content, dict[str, str])["message"]

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> PeerClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _probe(self) -> None:
        """See that somebody listens: httpcore leaks the socket of a connection that is refused."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.connect(self._place)
        except OSError as error:
            raise self._nobody(error) from error

    def _get(self, path: str, kind: type[T], **query: int) -> T:
        return _decode(self._send("GET", path, params=query, headers={"Accept": "application/json"}).content, kind)

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        self._probe()
        try:
            answer = self._http.request(method, path, **request)
        except httpx.TimeoutException as error:
            raise ApiError(f"The peer in {self.data_dir} did not answer within {TIMEOUT_S:.0f} s. Is it stopped?") from error
        except httpx.TransportError as error:
            raise self._nobody(error) from error
        if answer.status_code != OK:
            raise _refusal(answer)
        return answer

    def _nobody(self, error: Exception) -> NoPeerRunning:
        return NoPeerRunning(
            f"No peer is running in {self.data_dir}: {error}. Start one with `pyfl peer`, or name another with --data-dir."
        )


def _refusal(answer: httpx.Response) -> Exception:
    try:
        text = msgspec.json.decode(answer.content, type=dict[str, Any]).get("error", "")
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = ""
    if answer.status_code == BAD_REQUEST and text:
        return ControlError(str(text))
    return ApiError(f"The peer answered {answer.request.url.path} with {answer.status_code} {answer.reason_phrase}. {text}".rstrip())


def _decode(content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(f"The peer's answer cannot be read: {error}. Do both run the same version of pyfl?") from error

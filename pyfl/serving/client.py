"""Talks to a running peer: over the Unix socket in its data directory, or over TCP with its token."""

from __future__ import annotations

import socket
from collections.abc import Collection, Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
import msgspec

from pyfl.errors import ApiError, ConfigError, ControlError, NoPeerRunning
from pyfl.events import Stamped
from pyfl.peer.status import PeerEntry, RoundEntry, Status
from pyfl.serving.places import published_socket

__all__ = ["PeerClient"]

TIMEOUT_S = 10.0
SILENCE_S = 60.0
"""Without even the comment that a peer sends every 15 s: the connection is gone, though nobody has said so."""
OK, BAD_REQUEST = 200, 400
T = TypeVar("T")


class PeerClient:
    """Raises `NoPeerRunning`, at once or when called, if nothing answers in `data_dir`.

    Calls raise `ControlError` for a refused command, else `ApiError`.
    """

    def __init__(self, data_dir: Path) -> None:
        self._connect(_UnixPlace(data_dir))

    @classmethod
    def over_tcp(cls, address: str, token: str) -> PeerClient:
        """A client of the peer whose HTTP API is at `address`, HOST:PORT. `token`: as in its http.token."""
        client = cls.__new__(cls)
        client._connect(_TcpPlace(address, token))
        return client

    def _connect(self, place: _UnixPlace | _TcpPlace) -> None:
        self._place = place
        self._probe()
        self._http = place.client()

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

    def follow(self, last: int = 0, kinds: Collection[str] = ()) -> Generator[Stamped]:
        """Events after number `last`, of some kinds or all, then each as it happens; ends when the peer does.

        A connection that breaks while the peer lives is made again, and goes on after the last event that came.
        """
        place = str(last)
        while True:
            try:
                self._probe()
                for line in self._lines(place, kinds):
                    if line.startswith("id: "):
                        place = line[4:]
                    elif line.startswith("data: "):
                        yield _decode(line[6:].encode(), Stamped)
                return
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.ReadTimeout):
                if not self._answers():
                    return  # killed while we listened: there is nothing more to tell
            except httpx.TransportError as error:
                raise self._place.nobody(error) from error

    def _lines(self, place: str, kinds: Collection[str]) -> Iterator[str]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": place}
        timeout = httpx.Timeout(TIMEOUT_S, read=SILENCE_S)
        with self._http.stream("GET", "/v1/events", params={"kind": list(kinds)}, headers=headers, timeout=timeout) as answer:
            if answer.status_code != OK:
                answer.read()
                raise _refusal(answer)
            yield from answer.iter_lines()

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
            self._place.dial().close()
        except OSError as error:
            raise self._place.nobody(error) from error

    def _answers(self) -> bool:
        try:
            self._probe()
        except NoPeerRunning:
            return False
        return True

    def _get(self, path: str, kind: type[T], **query: int) -> T:
        return _decode(self._send("GET", path, params=query, headers={"Accept": "application/json"}).content, kind)

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        self._probe()
        try:
            answer = self._http.request(method, path, **request)
        except httpx.TimeoutException as error:
            raise ApiError(f"The peer {self._place.where} did not answer within {TIMEOUT_S:.0f} s. Is it stopped?") from error
        except httpx.TransportError as error:
            raise self._place.nobody(error) from error
        if answer.status_code != OK:
            raise _refusal(answer)
        return answer


class _UnixPlace:
    """The socket in a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.where = f"in {data_dir}"
        self._path = str(published_socket(data_dir))

    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.HTTPTransport(uds=self._path), base_url="http://peer", timeout=TIMEOUT_S)

    def dial(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        return connection

    def nobody(self, error: Exception) -> NoPeerRunning:
        return NoPeerRunning(f"No peer is running {self.where}: {error}. Start one with `pyfl peer`, or name another with --data-dir.")


class _TcpPlace:
    """An address, and the token that it wants."""

    def __init__(self, address: str, token: str) -> None:
        self.where = f"at {address}"
        self._address, self._token = address, token
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ConfigError(f"{address!r} is no address of a peer's HTTP API; expected HOST:PORT, as 10.0.0.4:7780.")
        self._host, self._port = host.strip("[]"), int(port)

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self._token}"}
        # Not through a proxy of the environment, which would see the token.
        return httpx.Client(base_url=f"http://{self._address}", headers=headers, timeout=TIMEOUT_S, trust_env=False)

    def dial(self) -> socket.socket:
        return socket.create_connection((self._host, self._port), TIMEOUT_S)

    def nobody(self, error: Exception) -> NoPeerRunning:
        return NoPeerRunning(
            f"No peer answers {self.where}: {error}. Is it the address of its HTTP API (`pyfl peer --http`), and not its own?"
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

"""Asks one peer over its HTTP API. Blocking; one client per thread that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, TypeVar

import httpx
import msgspec

from pyfl.events import Stamped
from pyfl.peer.status import Local, PeerEntry, Predictions, RoundEntry, Status
from streamlit_app.connection.answers import NoModelYet, NotAPeer, PeerSilent, Refused, Tree, WrongToken

__all__ = ["PeerApi"]

CONNECT_S, ANSWER_S = 1.5, 5.0
PREDICT_S = 60.0  # a peer that trains answers later
OK = 200
T = TypeVar("T")

HOW_TO_SERVE = "Start peers with `--http HOST:PORT` and give that address here."
WHERE_IT_IS = "It is in the file `http.token` in the data directory of any peer of the swarm."


class PeerApi:
    """Every call raises an `AnswerError` for anything but an answer."""

    def __init__(self, address: str, token: str) -> None:
        """`address`: host:port, as `--http` has it. Raises `NotAPeer` for what cannot be one."""
        self.address = address
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        limits = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        try:
            self._http = httpx.Client(base_url=f"http://{address}", headers=headers, timeout=limits, trust_env=False)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise NotAPeer(f"{address!r} is no address: {error}.", "Expected HOST:PORT, as in 10.0.0.4:8001.") from error

    def status(self) -> Status:
        """Where the peer and the swarm stand."""
        return self._get("/v1/status", Status)

    def peers(self) -> list[PeerEntry]:
        """Every peer that it knows, itself first."""
        return self._get("/v1/peers", list[PeerEntry])

    def rounds(self) -> list[RoundEntry]:
        """The rounds that it remembers, oldest first."""
        return self._get("/v1/rounds", list[RoundEntry])

    def tree(self, segment: int) -> Tree:
        """Who sends one segment to whom."""
        return self._get("/v1/tree", Tree, segment=segment)

    def local(self) -> Local:
        """What the peer tells of itself: its classes, its speed, its bytes."""
        return self._get("/v1/local", Local)

    def events(self, after: int) -> list[Stamped]:
        """Its remembered events after number `after`, at once."""
        return self._get("/v1/events", list[Stamped], after=after)

    def follow(self, after: int) -> Iterator[Stamped | None]:
        """Events after number `after` as they happen, None with every other sign of life; ends when the peer does."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        try:
            with self._http.stream("GET", "/v1/events", headers=headers, timeout=httpx.Timeout(ANSWER_S, read=60.0)) as answer:
                if answer.status_code != OK:
                    answer.read()
                    raise self._refusal(answer)
                for line in answer.iter_lines():
                    yield self._decode(line[6:].encode(), Stamped) if line.startswith("data: ") else None
        except httpx.RemoteProtocolError:
            return  # killed while we listened
        except httpx.TransportError as error:
            raise self._silent(error) from error

    def predict(self, picture: bytes, kind: str) -> Predictions:
        """What the committed model says of a picture; `kind` is its media type."""
        answer = self._send("POST", "/v1/predict", content=picture, headers={"Content-Type": kind}, timeout=PREDICT_S)
        return self._decode(answer.content, Predictions)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> PeerApi:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _get(self, path: str, kind: type[T], **query: int) -> T:
        answer = self._send("GET", path, params=query, headers={"Accept": "application/json"})
        return self._decode(answer.content, kind)

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise self._silent(error) from error
        if answer.status_code != OK:
            raise self._refusal(answer)
        return answer

    def _silent(self, error: httpx.TransportError) -> Exception:
        if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
            return NotAPeer(
                f"Something listens at {self.address} and does not speak HTTP.",
                f"Is it the port of the swarm (7700 unless told otherwise)? {HOW_TO_SERVE}",
            )
        if isinstance(error, httpx.TimeoutException):
            return PeerSilent(
                f"{self.address} did not answer in time.", f"Is the machine up, and the port open to this one? {HOW_TO_SERVE}"
            )
        return PeerSilent(f"Nothing listens at {self.address}.", f"Does the peer run, and is this its port? {HOW_TO_SERVE}")

    def _refusal(self, answer: httpx.Response) -> Exception:
        text = _reason(answer)
        match answer.status_code:
            case 401 | 403:
                return WrongToken(f"{self.address} is a peer, and asks for another token than the one given.", WHERE_IT_IS)
            case 409:
                return NoModelYet(text or "No round is committed yet.", "Ask again after the first commit.")
            case code if text:
                return Refused(text, f"(HTTP {code})")
            case code:
                return NotAPeer(f"{self.address} answers {answer.request.url.path} with {code} {answer.reason_phrase}.", HOW_TO_SERVE)

    def _decode(self, content: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NotAPeer(
                f"The answer of {self.address} cannot be read: {error}.", "Do the dashboard and the peer have the same version of pyfl?"
            ) from error


def _reason(answer: httpx.Response) -> str:
    """The sentence in a refusal's body, if it has one: `error` is pyfl's, `detail` FastAPI's own."""
    try:
        body = msgspec.json.decode(answer.content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    found = body.get("error") or body.get("detail") or ""
    return found if isinstance(found, str) else ""

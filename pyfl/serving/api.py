"""The HTTP API over one peer. The schemas on its OpenAPI page are those of the structs that it sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from pyfl import __version__
from pyfl.errors import ControlError
from pyfl.events import Stamped
from pyfl.peer.status import PeerEntry, PeerHandle, RoundEntry, Status
from pyfl.serving.metrics import exposition
from pyfl.serving.streams import resume_after, stream

__all__ = ["Answer", "ControlRequest", "create_app"]

BODY_BYTES = 64 * 1024


class ControlRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /v1/control` takes. Commands: pause, resume, leave, stop, and kick with a peer's name or id as `argument`."""

    command: str
    argument: str = ""


class Answer(msgspec.Struct, frozen=True):
    """A sentence about what was done, or about what is wrong (`error`)."""

    message: str = ""
    error: str = ""


_SENT = (Status, PeerEntry, RoundEntry, Stamped, ControlRequest, Answer)
_REFERENCE = "#/components/schemas/{name}"


def create_app(handle: PeerHandle, stopping: Callable[[], bool] = lambda: False) -> FastAPI:
    """The API of `handle`; event streams end when `stopping` says so."""
    app = FastAPI(title="pyfl peer", version=__version__, summary="The swarm as this peer sees it")
    app.add_exception_handler(ControlError, _refused)
    _describe(app)

    @app.get("/v1/status", responses=_sends(Status))
    async def status() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Where this peer and the swarm stand."""
        return _json(handle.status())

    @app.get("/v1/peers", responses=_sends(PeerEntry, many=True))
    async def peers() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Every peer known, this one first."""
        return _json(handle.peers())

    @app.get("/v1/rounds", responses=_sends(RoundEntry, many=True))
    async def rounds() -> Response:  # pyright: ignore[reportUnusedFunction]
        """The remembered committed rounds, oldest first."""
        return _json(handle.rounds())

    @app.get("/v1/tree")
    async def tree(segment: int = Query(default=0, ge=0)) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Each member's parent for one segment of the present or last reduce."""
        return _json(handle.tree(segment))

    @app.get("/v1/events", responses=_sends(Stamped, many=True))
    def events(  # pyright: ignore[reportUnusedFunction]
        after: int = Query(default=0, ge=0),
        accept: str = Header(default="text/event-stream"),
        last_event_id: str = Header(default=""),
    ) -> Response:
        """Events after `Last-Event-ID` (or `after`) as they happen; with `Accept: application/json` those remembered, at once."""
        last = int(last_event_id) if last_event_id.isdecimal() else after
        if "application/json" in accept:
            return _json(handle.events(resume_after(handle, last), 0.0))
        return StreamingResponse(stream(handle, last, stopping), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @app.post("/v1/control", responses=_sends(Answer) | _sends(Answer, code=400))
    async def control(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Pause, resume, leave, kick or stop."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES:
                return _error(413, f"The request has more than {BODY_BYTES} bytes; a command has less than a hundred.")
        try:
            wanted = msgspec.json.decode(body, type=ControlRequest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _error(400, f'{error}. Expected {{"command": "pause"}} or {{"command": "kick", "argument": "PEER"}}.')
        return _json(Answer(message=handle.control(wanted.command, wanted.argument)))

    @app.get("/healthz")
    async def healthz() -> PlainTextResponse:  # pyright: ignore[reportUnusedFunction]
        """200 while this process answers."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def readyz() -> PlainTextResponse:  # pyright: ignore[reportUnusedFunction]
        """200 once this peer holds a model, else 503 and what it waits for."""
        now = handle.status()
        if now.have >= 0:
            return PlainTextResponse("ready\n")
        return PlainTextResponse(f"not ready: {now.waiting or now.phase or 'no model yet'}\n", status_code=503)

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:  # pyright: ignore[reportUnusedFunction]
        """For Prometheus."""
        return PlainTextResponse(exposition(handle), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app


def _json(value: object, code: int = 200) -> Response:
    return Response(msgspec.json.encode(value), code, media_type="application/json")


def _error(code: int, text: str) -> Response:
    return _json(Answer(error=text), code)


async def _refused(_: Request, error: Exception) -> Response:
    return _error(400, str(error))


def _sends(kind: type, *, many: bool = False, code: int = 200) -> dict[int | str, dict[str, Any]]:
    item = {"$ref": _REFERENCE.format(name=kind.__name__)}
    schema = {"type": "array", "items": item} if many else item
    return {code: {"description": kind.__name__, "content": {"application/json": {"schema": schema}}}}


def _describe(app: FastAPI) -> None:
    """Add the structs' schemas to the OpenAPI document."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        _, schemas = msgspec.json.schema_components(_SENT, ref_template=_REFERENCE)
        document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
        return document

    app.openapi = openapi

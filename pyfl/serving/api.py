"""The HTTP API over one peer. The schemas on its OpenAPI page are those of the structs that it sends."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from pyfl import __version__
from pyfl.events import Stamped
from pyfl.peer.status import Local, PeerEntry, PeerHandle, Predictions, RoundEntry, Status
from pyfl.serving import examples
from pyfl.serving.answers import REFERENCE, Answer, error, fails, json, sends, take_errors
from pyfl.serving.bodies import read_body
from pyfl.serving.limits import Limits, Slots
from pyfl.serving.metrics import exposition
from pyfl.serving.model_file import pieces, safetensors_header
from pyfl.serving.page import page
from pyfl.serving.predictor import Predictor
from pyfl.serving.questions import QUESTION, read_question
from pyfl.serving.slow_answers import SlowAnswer
from pyfl.serving.streams import KINDS, Bell, chosen_kinds, kind_of, resume_after, stream

__all__ = ["ControlRequest", "create_app"]


class ControlRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /v1/control` takes. Commands: pause, resume, leave, stop, and kick with a peer's name or id as `argument`."""

    command: str
    argument: str = ""


_SENT = (Status, PeerEntry, RoundEntry, Local, Predictions, Stamped, ControlRequest, Answer)
_TEXT: dict[str, Any] = {"content": {"text/plain": {"schema": {"type": "string"}}}}
_TREE: dict[str, Any] = {
    "description": "Empty before the first reduce.",
    "content": {"application/json": {"schema": {"type": "object"}, "example": {"segment": 0, "root": "a1", "parent": {"b2": "a1"}}}},
}


def create_app(
    handle: PeerHandle,
    bell: Bell | None = None,
    predictor: Predictor | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> FastAPI:
    """The API of `handle`. `bell` wakes its event streams, and ends them; a `predictor` lent to it is closed by its owner.

    Who may ask, and how often, is not decided here: see `pyfl.serving.guard`.
    """
    bell = bell or Bell(handle)
    asked = predictor or Predictor(handle)
    streams, downloads = Slots(limits.streams, "event streams"), Slots(limits.downloads, "downloads of the model")
    questions = Slots(limits.waiting, "questions to its model")
    app = FastAPI(
        title="pyfl peer", version=__version__, summary="The swarm as this peer sees it", docs_url=None, redoc_url=None,
        redirect_slashes=False, responses=fails(401, 429),
    )  # fmt: skip
    take_errors(app)
    _describe(app)

    @app.get("/v1/status", responses=sends(Status, examples.STATUS))
    async def status() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Where this peer and the swarm stand."""
        return json(handle.status())

    @app.get("/v1/peers", responses=sends(PeerEntry, [examples.PEER], many=True))
    async def peers() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Every peer known, this one first."""
        return json(handle.peers())

    @app.get("/v1/rounds", responses=sends(RoundEntry, [examples.ROUND], many=True))
    async def rounds() -> Response:  # pyright: ignore[reportUnusedFunction]
        """The remembered committed rounds, oldest first."""
        return json(handle.rounds())

    @app.get("/v1/local", responses=sends(Local, examples.LOCAL))
    def local() -> Response:  # pyright: ignore[reportUnusedFunction]
        """What only this peer knows: classes in its training data, its trainings, what it uses."""
        return json(handle.local())

    @app.get("/v1/tree", responses={200: _TREE} | fails(400, 422))
    async def tree(segment: Annotated[int, Query(ge=0, le=2**31)] = 0) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Each member's parent for one segment of the present or last reduce."""
        return json(handle.tree(segment))

    @app.get("/v1/events", responses=_events() | fails(422))
    def events(  # pyright: ignore[reportUnusedFunction]
        after: Annotated[int, Query(ge=0, le=2**48, description="The number of the last event that is known.")] = 0,
        kind: Annotated[list[str], Query(description=f"Only such events: {', '.join(sorted(KINDS))}.")] = [],  # noqa: B006
        accept: Annotated[str, Header(description="application/json: those remembered, at once.")] = "text/event-stream",
        last_event_id: Annotated[str, Header(description="The id of the last event that came; goes before `after`.")] = "",
    ) -> Response:
        """Events as they happen, as server-sent events; after a break a client goes on with `Last-Event-ID`."""
        kinds = chosen_kinds(kind)
        last = resume_after(handle, last_event_id or str(after))
        if "application/json" in accept:
            found = handle.events(last, 0.0)
            return json([event for event in found if not kinds or kind_of(event) in kinds])
        return SlowAnswer(stream(handle, last, kinds, bell), streams, media_type="text/event-stream")

    @app.get("/v1/model", responses=_model() | fails(409))
    def model() -> Response:  # pyright: ignore[reportUnusedFunction]
        """The newest committed model as safetensors, each tensor under its name."""
        with downloads:
            held = handle.model()
        header = safetensors_header(held)
        headers = {
            "X-Pyfl-Round": str(held.saved.round), "X-Pyfl-Digest": held.saved.model, "ETag": f'"{held.saved.model}"',
            "Content-Length": str(len(header) + held.weights.nbytes),
            "Content-Disposition": f'attachment; filename="round-{held.saved.round:06d}.safetensors"',
        }  # fmt: skip
        content = pieces(header, held.weights)
        return SlowAnswer(content, downloads, limits.download_s, media_type="application/octet-stream", headers=headers)

    @app.post(
        "/v1/predict",
        responses=sends(Predictions, examples.PREDICTIONS) | fails(404, 408, 409, 413, 415, 422, 503),
        openapi_extra={"requestBody": QUESTION},
    )
    async def predict(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        top: Annotated[int, Query(ge=1, le=100, description="How many classes to tell.")] = 5,
        invert: Annotated[bool, Query(description="Dark becomes bright: for digits written dark on white.")] = False,
    ) -> Response:
        """What the newest committed model takes a picture, or arrays, for."""
        with questions:
            question = await read_question(request, limits, invert=invert)
            return json(await asked.ask(question, top, limits.answer_s))

    @app.post(
        "/v1/control",
        responses=sends(Answer, Answer("The swarm pauses when the present round is committed.")) | fails(400, 408, 413),
        openapi_extra={"requestBody": _control()},
    )
    async def control(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Pause, resume, leave, kick or stop."""
        body = await read_body(request, limits.control_bytes, limits.body_s)
        try:
            wanted = msgspec.json.decode(body, type=ControlRequest)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
            return error(400, f'{wrong}. Expected {{"command": "pause"}} or {{"command": "kick", "argument": "PEER"}}.')
        return json(Answer(message=handle.control(wanted.command, wanted.argument)))

    @app.get("/healthz", responses={200: _TEXT})
    async def healthz() -> PlainTextResponse:  # pyright: ignore[reportUnusedFunction]
        """200 while this process answers; needs no token."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz", responses={200: _TEXT, 503: {"description": "What it waits for", **_TEXT}})
    async def readyz() -> PlainTextResponse:  # pyright: ignore[reportUnusedFunction]
        """200 once this peer holds a model, else 503 and what it waits for."""
        now = handle.status()
        if now.have >= 0:
            return PlainTextResponse("ready\n")
        return PlainTextResponse(f"not ready: {now.waiting or now.phase or 'no model yet'}\n", status_code=503)

    @app.get("/metrics", responses={200: _TEXT})
    async def metrics() -> PlainTextResponse:  # pyright: ignore[reportUnusedFunction]
        """For Prometheus."""
        return PlainTextResponse(exposition(handle), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        return HTMLResponse(page(app.openapi()), headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"})

    return app


def _events() -> dict[int | str, Any]:
    found = sends(Stamped, [examples.EVENT], many=True)
    found[200]["content"]["text/event-stream"] = {"schema": {"type": "string"}, "example": examples.STREAMED}
    return found


def _model() -> dict[int | str, Any]:
    text = {"schema": {"type": "string"}}
    headers = {"X-Pyfl-Round": {"schema": {"type": "integer"}}, "X-Pyfl-Digest": text}
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {200: {"description": "safetensors", "headers": headers, "content": content}}


def _control() -> dict[str, Any]:
    schema = {"$ref": REFERENCE.format(name="ControlRequest")}
    return {"required": True, "content": {"application/json": {"schema": schema, "example": {"command": "kick", "argument": "otter"}}}}


def _describe(app: FastAPI) -> None:
    """Add to the OpenAPI document what FastAPI cannot know: the structs' schemas, and the token."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = plain()
        _, schemas = msgspec.json.schema_components(_SENT, ref_template=REFERENCE)
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(schemas)
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "description": "http.token of the data directory"}}
        document["security"] = [{"token": []}]
        document["paths"]["/healthz"]["get"]["security"] = []
        _answers_for_mistakes(document)
        return document

    app.openapi = openapi


def _answers_for_mistakes(document: dict[str, Any]) -> None:
    """FastAPI describes its own form of 422, which is not the one that is sent."""
    for methods in document["paths"].values():
        for operation in methods.values():
            found = operation["responses"].get("422")
            if found and "HTTPValidationError" in str(found):
                operation["responses"] |= {str(code): entry for code, entry in fails(422).items()}
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)

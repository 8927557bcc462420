"""How the API answers: structs as JSON, errors as a sentence, and what the OpenAPI document says of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from pyfl.errors import AppError, BadInput, ControlError, ImageError, ModelMismatch, NotCommittedYet, PeerBusy, PyflError

__all__ = ["REFERENCE", "Answer", "error", "fails", "json", "sends", "take_errors"]

REFERENCE = "#/components/schemas/{name}"
RETRY_S = 1

_CODES: dict[type[PyflError], int] = {
    ControlError: 400, NotCommittedYet: 409, ModelMismatch: 409, AppError: 404, ImageError: 422, BadInput: 422, PeerBusy: 429
}  # fmt: skip
_MEANINGS = {
    400: "The command is unknown, names nobody, or cannot be read.",
    401: "Without this swarm's bearer token.",
    404: "There is no such thing at this peer.",
    408: "The request's body did not come in time.",
    409: "No round has been committed yet.",
    413: "More bytes than this takes.",
    415: "Of a content type that this does not take.",
    422: "Not what was expected; the sentence says what was.",
    429: "Too many at a time; `Retry-After` says in how many seconds to try again.",
    503: "Not in time; `Retry-After` says in how many seconds to try again.",
}


class Answer(msgspec.Struct, frozen=True):
    """A sentence about what was done, or about what is wrong (`error`)."""

    message: str = ""
    error: str = ""


def json(value: object, code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A struct as an answer."""
    return Response(msgspec.json.encode(value), code, dict(headers or {}), media_type="application/json")


def error(code: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """A sentence about what is wrong; whoever is refused for now is told when to come again."""
    again = {"Retry-After": str(RETRY_S)} if code in (429, 503) else {}
    return json(Answer(error=text), code, {**again, **(headers or {})})


def take_errors(app: FastAPI) -> None:
    """Every refusal becomes an `Answer`."""
    for kind in _CODES:
        app.add_exception_handler(kind, _refused)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(HTTPException, _unknown)


async def _refused(_: Request, wrong: Exception) -> Response:
    return error(next(code for kind, code in _CODES.items() if isinstance(wrong, kind)), str(wrong))


async def _misunderstood(_: Request, wrong: Exception) -> Response:
    found: list[str] = []
    if isinstance(wrong, RequestValidationError):
        found = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in wrong.errors()]
    return error(422, f"The request cannot be understood: {'; '.join(found)}. /docs says what this takes.")


async def _unknown(request: Request, wrong: Exception) -> Response:
    code = wrong.status_code if isinstance(wrong, HTTPException) else 500
    detail = wrong.detail if isinstance(wrong, HTTPException) else ""
    headers = wrong.headers if isinstance(wrong, HTTPException) else None
    texts = {
        404: f"There is nothing at {request.url.path}; /docs lists what there is.",
        405: f"{request.method} is not for {request.url.path}; /docs says what is.",
    }
    return error(code, texts.get(code, detail), headers)


def sends(kind: type, example: object = None, *, many: bool = False) -> dict[int | str, Any]:
    """The OpenAPI entry of an answer; `example`: a value of `kind`, or a list of them."""
    item = {"$ref": REFERENCE.format(name=kind.__name__)}
    content: dict[str, Any] = {"schema": {"type": "array", "items": item} if many else item}
    if example is not None:
        content["example"] = msgspec.to_builtins(example)
    return {200: {"description": (kind.__doc__ or kind.__name__).splitlines()[0], "content": {"application/json": content}}}


def fails(*codes: int) -> dict[int | str, Any]:
    """The OpenAPI entries of refusals."""
    schema = {"schema": {"$ref": REFERENCE.format(name="Answer")}}
    return {code: {"description": _MEANINGS[code], "content": {"application/json": schema}} for code in codes}

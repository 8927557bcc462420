"""What `POST /v1/predict` is asked: a picture as the body, a picture in a form, or arrays as JSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from pyfl.errors import BadInput
from pyfl.serving.bodies import read_body, too_long
from pyfl.serving.limits import Limits

__all__ = ["QUESTION", "Arrays", "Picture", "Question", "read_question"]

FIELD = "image"
EXPECTED = (
    "expected a picture (image/png, image/jpeg and so on, or application/octet-stream), a form with a picture as its field "
    '"image" (multipart/form-data), or {"array": [...]} as application/json'
)
_BINARY = {"schema": {"type": "string", "format": "binary"}}
QUESTION: dict[str, Any] = {
    "required": True,
    "description": "A picture that is an image file, or arrays as the model takes them.",
    "content": {
        "image/png": _BINARY,
        "image/jpeg": _BINARY,
        "application/octet-stream": _BINARY,
        "multipart/form-data": {"schema": {"type": "object", "properties": {FIELD: _BINARY["schema"]}, "required": [FIELD]}},
        "application/json": {
            "schema": {"type": "object", "properties": {"array": {"type": "array", "items": {}}}, "required": ["array"]},
            "example": {"array": [[[[0.0], [0.5]], [[1.0], [0.25]]]]},
        },
    },
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file. `invert`: dark becomes bright."""

    content: bytes
    invert: bool = False


@dataclass(frozen=True, slots=True)
class Arrays:
    """A batch as JSON text, `{"array": nested numbers}`; read where it is answered, not in the server's loop."""

    text: bytes

    def read(self) -> list[Any]:
        """The nested lists. Raises `BadInput`."""
        try:
            return msgspec.json.decode(self.text, type=_Body).array
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadInput(
                f'The arrays cannot be read: {error}. Expected {{"array": [...]}}, numbers nested as the model takes them.'
            ) from error


Question = Picture | Arrays


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    array: list[Any]


async def read_question(request: Request, limits: Limits, *, invert: bool) -> Question:
    """Read a request within the limits. Raises `BadInput`, and `HTTPException` 408, 413 and 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return Arrays(await read_body(request, limits.json_bytes, limits.body_s))
    if kind == "multipart/form-data":
        content = await _picture_in_form(request, await read_body(request, limits.form_bytes, limits.body_s), limits)
    elif kind == "application/octet-stream" or kind.startswith("image/"):
        content = await read_body(request, limits.image_bytes, limits.body_s)
    else:
        raise HTTPException(415, f"The content type is {kind[:100]!r}; {EXPECTED}.")
    if not content:
        raise BadInput(f"The picture has no bytes; {EXPECTED}.")
    return Picture(content, invert)


async def _picture_in_form(request: Request, body: bytes, limits: Limits) -> bytes:
    async def once() -> AsyncGenerator[bytes]:
        yield body

    try:
        form = await MultiPartParser(request.headers, once(), max_files=1, max_fields=8, max_part_size=limits.image_bytes).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise BadInput(f"The form cannot be read: {str(error)[:200]}; {EXPECTED}.") from error
    try:
        picture = form.get(FIELD)
        if not isinstance(picture, UploadFile):
            raise BadInput(f'The form has no file in a field "{FIELD}"; {EXPECTED}.')
        if (picture.size or 0) > limits.image_bytes:
            raise too_long(limits.image_bytes)
        return await picture.read()
    finally:
        await form.close()

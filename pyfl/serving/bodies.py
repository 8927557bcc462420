"""A request's body, read within a size and a time."""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.exceptions import HTTPException

__all__ = ["read_body", "too_long"]


def too_long(most_bytes: int) -> HTTPException:
    """What is raised for more bytes than that."""
    return HTTPException(413, f"The request's body has more than {most_bytes:,} bytes, which is the most that is read. Send less.")


async def read_body(request: Request, most_bytes: int, within_s: float) -> bytes:
    """The body. Raises `HTTPException` 413 as soon as it is too long, by its announced length or as it comes, and 408."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > most_bytes:
        raise too_long(most_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most_bytes:
                    raise too_long(most_bytes)
    except TimeoutError:
        raise HTTPException(408, f"The request's body did not come within {within_s:g} s. Send it again, or less.") from None
    return bytes(body)

"""Answers that take as long as their client does: each takes a slot while it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from pyfl.serving.limits import Slots

__all__ = ["SlowAnswer"]


class SlowAnswer(StreamingResponse):
    """A streamed answer in one of `slots`, cut off after `longest_s`. Raises `PeerBusy` where there is no slot left."""

    def __init__(
        self,
        content: AsyncIterator[bytes],
        slots: Slots,
        longest_s: float | None = None,
        *,
        media_type: str,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(content, media_type=media_type, headers=headers)
        self._slots, self._longest_s = slots, longest_s
        slots.__enter__()  # given back when it was sent: the server sends every answer that was made

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, in whatever time the client takes."""
        try:
            async with asyncio.timeout(self._longest_s):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            return  # the server closes a connection whose answer is not whole
        finally:
            self._slots.__exit__(None, None, None)

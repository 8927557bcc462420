"""Who may ask a peer over TCP: whoever has the token, and not too often. Nothing behind it sees a request that it refuses."""

from __future__ import annotations

import base64
import binascii
import hmac
import math

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pyfl.serving.answers import error
from pyfl.serving.limits import Limits, Rates

__all__ = ["Guard"]

OPEN = "/healthz"
FOR_BROWSERS = ("/docs", "/openapi.json")
"""Where a browser may give the token as a password: it cannot send a bearer token. Only for these, since it then sends it unasked."""
REALM = "pyfl peer"
NEEDED = (
    "This needs the token of the peer's API: `Authorization: Bearer TOKEN`. TOKEN is the text of http.token in the peer's data directory, "
    "and the same at every peer of a swarm whose operator has not written another."
)


class Guard:
    """ASGI middleware. It decides by the path as it was sent, before anything is routed: what is not the open path needs the token."""

    def __init__(self, app: ASGIApp, token: str, limits: Limits) -> None:
        self._app, self._token = app, token.encode()
        self._rates = Rates(limits.requests_per_s, limits.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["type"] != "http":
            raise AssertionError(f"the server handles {scope['type']}, which it was told not to")
        known = self._has_token(scope)
        client = (scope["client"] or ("",))[0]
        wait_s = self._rates.take((client, known))  # apart: who guesses tokens does not lock out who has one behind the same address
        exchange = _Exchange(scope, receive, send)
        if wait_s:
            text = "This address asks more often than the peer answers; `Retry-After` says in how many seconds to ask again."
            await error(429, text, {"Retry-After": str(math.ceil(wait_s))})(scope, exchange.receive, exchange.send)
        elif known or (scope["path"] == OPEN and scope["method"] == "GET"):
            await self._app(scope, exchange.receive, exchange.send)
        else:
            scheme = "Basic" if scope["path"] in FOR_BROWSERS else "Bearer"
            await error(401, NEEDED, {"WWW-Authenticate": f'{scheme} realm="{REALM}"'})(scope, exchange.receive, exchange.send)

    def _has_token(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, credentials = given[0].partition(b" ")
        if scheme.lower() == b"basic" and scope["method"] == "GET" and scope["path"] in FOR_BROWSERS:
            credentials = _password(credentials)
        elif scheme.lower() != b"bearer":
            return False
        return hmac.compare_digest(credentials.strip(b" "), self._token)


class _Exchange:
    """One request and its answer, which nobody is to keep or to reinterpret. A body that is not read ends the connection with it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        names = {name for name, _ in scope["headers"]}
        self._unread = bool(names & {b"content-length", b"transfer-encoding"})

    async def receive(self) -> Message:
        message = await self._receive()
        if not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
            if self._unread:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await self._send(message)


def _password(credentials: bytes) -> bytes:
    try:
        return base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return b""

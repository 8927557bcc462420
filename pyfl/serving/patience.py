"""HTTP connections that do not wait for ever: a bounded number of them, and a bounded time for the headers of each request.

uvicorn bounds the pause between two requests, and nothing before the first or within one.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from pyfl.serving.limits import Limits

__all__ = ["patient"]

FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def patient(limits: Limits) -> type[H11Protocol]:
    """Uvicorn's protocol within these limits."""

    class PatientProtocol(H11Protocol):
        """Closes a connection whose next request's headers have not come in time."""

        _waits: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.write(FULL)
                transport.close()
                return
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._heard()
            super().connection_lost(exc)

        def handle_events(self) -> None:
            before = self.cycle
            super().handle_events()
            if self.cycle is not before:
                self._heard()

        def on_response_complete(self) -> None:
            self._heard()
            self._wait()
            super().on_response_complete()  # which may find the next request in what has come already

        def _wait(self) -> None:
            self._waits = self.loop.call_later(limits.header_s, self._too_slow)

        def _heard(self) -> None:
            if self._waits is not None:
                self._waits.cancel()
                self._waits = None

        def _too_slow(self) -> None:
            if not self.transport.is_closing():
                self.transport.close()

    return PatientProtocol

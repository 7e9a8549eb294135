"""A client of an ASGI app, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class HttpResponse:
    """What has come back so far."""

    status: int = 0
    headers: dict[str, str] | None = None
    body: bytes = b""
    complete: bool = False

    @property
    def text(self) -> str:
        return self.body.decode()


class AsgiRequest:
    """One request under way; ``more``: its body does not end with ``pieces``."""

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        method: str,
        path: str,
        query: str = "",
        pieces: Sequence[bytes] = (b"",),
        headers: dict[str, str] | None = None,
        more: bool = False,
        **scope: Any,
    ) -> None:
        self.response = HttpResponse()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.written: list[int] = []
        self._gone = asyncio.Event()
        self._body: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()
        for number, piece in enumerate(pieces, 1):
            self._body.put_nowait((piece, more or number < len(pieces)))
        given = {"host": "example.test", **(headers or {})}
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
            "client": ("192.0.2.1", 5),
            "scheme": "http",
            **scope,
        }
        self.task = asyncio.get_running_loop().create_task(self._run(app))

    async def _run(self, app: Callable[..., Awaitable[None]]) -> HttpResponse:
        await app(self.scope, self._receive, self._send)
        return self.response

    def send(self, piece: bytes) -> None:
        """The rest of the body, after ``more``."""
        self._body.put_nowait((piece, False))

    async def _receive(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        received, leaving = loop.create_task(self._body.get()), loop.create_task(self._gone.wait())
        try:
            await asyncio.wait({received, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not received.done():
                return {"type": "http.disconnect"}
            piece, more = received.result()
            return {"type": "http.request", "body": piece, "more_body": more}
        finally:
            received.cancel()
            leaving.cancel()

    async def _send(self, message: Any) -> None:
        if not self._gone.is_set():
            await self.flowing.wait()
        if message["type"] == "http.response.start":
            self.response.status = message["status"]
            self.response.headers = {
                name.decode(): value.decode("latin-1") for name, value in message["headers"]
            }
        else:
            self.written.append(len(message["body"]))
            self.response.body += message["body"]
            self.response.complete = not message.get("more_body")

    def leave(self) -> None:
        """The client goes away."""
        self._gone.set()
        self.flowing.set()

    def fill(self) -> None:
        """The client stops reading, and its transport is full: writers must wait."""
        self.flowing.clear()

    def flow(self) -> None:
        """It reads again."""
        self.flowing.set()

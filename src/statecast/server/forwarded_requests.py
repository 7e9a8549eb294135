"""Requests of long polling that other workers pass on to this one.

See ``request_forwarder`` for the other side. A request counts among all connections of this
process. For its client's address it counts where it arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

from statecast.http.asgi import App, Message
from statecast.http.errors import HTTPProblem
from statecast.server import link_messages
from statecast.server.connection_limits import ConnectionLimiter
from statecast.server.sockets import BACKLOG
from statecast.server.worker_link import WorkerLink, admits

HEAD_TIMEOUT = 5.0
"""Seconds within which a worker says what it wants, and ends after the answer."""


class ForwardedRequests:
    """Accepts and answers them."""

    def __init__(self, link: WorkerLink, app: App, limiter: ConnectionLimiter) -> None:
        self._link = link
        self._app = app
        self._limiter = limiter
        self._tasks: set[asyncio.Task[None]] = set()
        """One for each request under way."""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(
            self._serve, sock=self._link.requests, backlog=BACKLOG
        )

    def close(self) -> None:
        """Accept no more, and break off what is under way."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        try:
            if admits(writer.get_extra_info("socket")):
                await ForwardedRequest(reader, writer).answer(self._app, self._limiter)
        except (*link_messages.Broken, TimeoutError, asyncio.CancelledError):
            pass  # the other worker has ended, or hangs; or we end
        finally:
            self._tasks.discard(task)
            writer.close()


class ForwardedRequest:
    """One of them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._reading = asyncio.Lock()
        """An application that has answered may still be waiting for the client's end."""

    async def answer(self, app: App, limiter: ConnectionLimiter) -> None:
        """Raises TimeoutError or what is in Broken."""
        try:
            limiter.acquire()
        except HTTPProblem:
            await link_messages.write(self._writer, {"type": link_messages.BUSY})
        else:
            try:
                await link_messages.write(self._writer, {"type": link_messages.ACCEPTED})
                async with asyncio.timeout(HEAD_TIMEOUT):
                    scope = await link_messages.read(self._reader)
                await app(scope, self._receive, self._send)
            finally:
                limiter.release()
        await self._linger()

    async def _receive(self) -> Message:
        async with self._reading:
            try:
                return await link_messages.read(self._reader)
            except link_messages.Broken:
                return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        with contextlib.suppress(ConnectionError):  # the client has left, as ``_receive`` says
            await link_messages.write(self._writer, message)

    async def _linger(self) -> None:
        """Let the other worker close first."""
        async with self._reading, asyncio.timeout(HEAD_TIMEOUT):
            while await self._reader.read(link_messages.PIECE):
                pass

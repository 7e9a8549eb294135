"""Requests of long polling whose session is in another worker: they are passed on to it.

A request is passed on with its body, once, and the answer comes back in pieces. A client that
leaves ends the request there too. The other worker believes what we say of the client: its address
and scheme are read here. The other side is ``forwarded_requests``.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from statecast.http.asgi import App, Receive, Scope, Send
from statecast.http.errors import HTTPProblem
from statecast.http.head import parse_query
from statecast.server import link_messages
from statecast.server.connection_limits import ConnectionLimiter
from statecast.server.worker_link import WorkerBusy, WorkerGone, WorkerLink
from statecast.settings import Settings

GREETING = 5.0
"""Seconds within which a worker accepts a request; then it hangs."""
FIELDS = ("type", "method", "path", "root_path", "query_string", "headers", "scheme", "client")
"""What a worker needs of the scope."""


class RequestForwarder:
    """The ASGI app for long polling: ours, or that of the worker that the session id names."""

    def __init__(
        self, local: App, link: WorkerLink, limiter: ConnectionLimiter, settings: Settings
    ) -> None:
        self._local = local
        self._link = link
        self._limiter = limiter
        # A GET is answered with a ping at the latest; a body may be late.
        waiting = max(settings.ping_interval + settings.ping_timeout, settings.body_timeout)
        self._silence = waiting + GREETING

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sid = parse_query(scope.get("query_string", b"")).get("sid", "")
        worker_id = self._link.elsewhere(sid)
        if worker_id is None:
            await self._local(scope, receive, send)
            return
        self._limiter.acquire()  # the connection to the worker is one more descriptor
        try:
            await self._forward(self._link.connect(worker_id), scope, receive, send)
        except WorkerGone:  # our own answer to a session that does not exist
            await self._local(scope, receive, send)
        except WorkerBusy:
            raise HTTPProblem.busy("The server is too busy; come back.") from None
        except TimeoutError:
            sentence = "The process that has this session does not answer; connect again."
            raise HTTPProblem(504, sentence, [(b"retry-after", b"1")]) from None
        finally:
            self._limiter.release()

    async def _forward(
        self, connection: socket.socket, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Raises WorkerGone, WorkerBusy or TimeoutError while no response has begun."""
        try:
            reader, writer = await asyncio.open_unix_connection(sock=connection)
        except OSError:
            connection.close()
            raise WorkerGone from None
        exchange = Exchange(reader, writer, receive, send)
        try:
            await exchange.begin({name: scope[name] for name in FIELDS if name in scope})
            await exchange.answer(self._silence)
        except (TimeoutError, WorkerGone):
            if not exchange.started:
                raise
            scope.get("extensions", {}).get("statecast.abort", lambda: None)()
        finally:
            exchange.end()


class Exchange:
    """One request in another worker."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        receive: Receive,
        send: Send,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._receive = receive
        self._send = send
        self._sending: asyncio.Task[None] | None = None
        """Passes on what the client sends, until it leaves."""
        self._client_left = False
        self.started = False
        """The client got the beginning of the response."""

    async def begin(self, scope: Scope) -> None:
        """Send the request's head once the worker accepts it."""
        greeting = await self._read(GREETING)
        if greeting["type"] != link_messages.ACCEPTED:
            raise WorkerBusy
        try:
            await link_messages.write(self._writer, scope)
        except link_messages.Broken:
            raise WorkerGone from None
        self._sending = asyncio.get_running_loop().create_task(self._pass_on())

    async def _pass_on(self) -> None:
        """The worker learns by the end of the connection that the client has left."""
        try:
            while (message := await self._receive())["type"] != "http.disconnect":
                await link_messages.write(self._writer, message)
        except link_messages.Broken:
            return  # reading finds it too
        self._client_left = True
        self._writer.transport.abort()

    async def answer(self, silence: float) -> None:
        """Pass the response on. ``silence``: seconds without any of it after which it failed."""
        more = True
        while more:
            try:
                message = await self._read(silence)
            except WorkerGone:
                if self._client_left:
                    return
                raise
            self.started = True
            await self._send(message)
            more = message["type"] == "http.response.start" or bool(message.get("more_body"))

    async def _read(self, seconds: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(seconds):
                return await link_messages.read(self._reader)
        except link_messages.Broken:
            raise WorkerGone from None

    def end(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        self._writer.transport.abort()

"""Connections of clients that other workers hand over to this one, as file descriptors.

See ``connection_forwarder`` for the other side. A connection counts here from now on, in all and
for its client's address.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import cast

from statecast.http import asgi
from statecast.http.asgi import Message
from statecast.http.errors import HTTPProblem
from statecast.http.head import RequestHead
from statecast.server import link_messages
from statecast.server.http_protocol import HttpLimits
from statecast.server.worker_link import WorkerLink, admits

HEAD_TIMEOUT = 5.0
"""Seconds within which a worker that has connected sends the connection."""
PAUSE = 0.1
"""Seconds without accepting after the system had no descriptor left."""
READ = 65_536

log = logging.getLogger(__name__)


class AdoptedConnections:
    """Accepts and serves them."""

    def __init__(self, link: WorkerLink, limits: HttpLimits) -> None:
        """``limits.websockets`` takes the connections."""
        self._listening = link.connections
        self._limits = limits
        self._handovers: set[Handover] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        loop.add_reader(self._listening, self._on_connect)

    def close(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
        for handover in tuple(self._handovers):
            handover.end()

    def _on_connect(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            log.warning("a connection from another worker waits: %s", error.strerror)
            self._loop.remove_reader(self._listening)
            self._loop.call_later(PAUSE, self._resume)
            return
        if not admits(connection):
            connection.close()
            return
        connection.setblocking(False)
        self._handovers.add(Handover(connection, self._loop, self._on_end))

    def _resume(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening, self._on_connect)

    def _on_end(self, handover: Handover) -> None:
        self._handovers.discard(handover)
        message, descriptor = handover.take()
        if message is not None and descriptor is not None:
            task = self._loop.create_task(self._adopt(message, socket.socket(fileno=descriptor)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _adopt(self, message: Message, client: socket.socket) -> None:
        client.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(
                lambda: AdoptedConnection(partial(self._serve, message)), client
            )
        except OSError:  # the client has left meanwhile
            client.close()

    def _serve(self, message: Message, transport: asyncio.Transport) -> None:
        limits, address = self._limits, asgi.client_address(message)
        with contextlib.ExitStack() as counted:
            try:
                limits.limiter.acquire()
                counted.callback(limits.limiter.release)
                key = limits.limiter.acquire_address(address, limits.now(), new=False)
            except HTTPProblem as problem:
                transport.write(problem.response())
                transport.close()
                return
            counted.pop_all()  # from now on it is released when the connection is lost
        limits.websockets.accept(
            transport,
            RequestHead.of_scope(message),
            client_address=address,
            client_key=key,
            rest=message["body"],
        )


class Handover:
    """Reads one connection from another worker, until that closes: a descriptor and a message."""

    def __init__(
        self,
        connection: socket.socket,
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[[Handover], None],
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._on_end = on_end
        self._data = bytearray()
        self._descriptor: int | None = None
        self._timer = loop.call_later(HEAD_TIMEOUT, self.end)
        loop.add_reader(connection, self._on_readable)

    def _on_readable(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._connection, READ, 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)  # received ones are inherited by programs
        if descriptors and self._descriptor is None:
            self._descriptor = descriptors.pop()
        for descriptor in descriptors:
            os.close(descriptor)
        self._data += data
        if not data or len(self._data) > link_messages.MAX_HEAD:
            self.end()

    def end(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._connection)
        self._connection.close()
        self._on_end(self)
        if self._descriptor is not None:
            os.close(self._descriptor)

    def take(self) -> tuple[Message | None, int | None]:
        """The message and the descriptor, which the caller closes; None if they are not whole."""
        message = link_messages.decode(bytes(self._data))
        if message is None:
            return None, None
        descriptor, self._descriptor = self._descriptor, None
        return message, descriptor


class AdoptedConnection(asyncio.Protocol):
    """A client's connection until it has its protocol."""

    def __init__(self, serve: Callable[[asyncio.Transport], None]) -> None:
        self._serve = serve

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._serve(cast(asyncio.Transport, transport))

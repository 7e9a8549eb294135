"""Accepts the connections of a server that speaks TLS, and counts them before their handshake.

asyncio's own server makes a protocol only after the handshake, so a client that never begins one
would not be counted. Here a connection counts in all and for its address from the start, within the
same limits as without TLS, and has ``header_timeout`` to finish its handshake. A client above a
limit is closed without a response: to send one, TLS would have to be established first.

The first byte tells what the client speaks. A client of plain HTTP, as a browser is after
``http://`` was typed, is sent to the same address with ``https://``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable

from statecast.http.errors import HTTPProblem
from statecast.server.certificate_renewal import CertificateRenewal
from statecast.server.http_protocol import HttpLimits
from statecast.server.plain_redirect import PlainRedirect

HANDSHAKE = b"\x16"
"""The first byte of TLS: the type of a record of its handshake (RFC 8446, B.1)."""
MAX_ACCEPTS = 64
"""Connections accepted in one turn of the loop."""
PAUSE = 0.1
"""Seconds without accepting after the system had no descriptor left."""
CLOSE_TIMEOUT = 1.0
"""Seconds for which the end of a TLS connection waits for the client's."""

log = logging.getLogger(__name__)


class TlsListener:
    """The connections to one listening socket."""

    def __init__(
        self,
        listening: socket.socket,
        certificate: CertificateRenewal,
        limits: HttpLimits,
        make_protocol: Callable[[], asyncio.Protocol],
    ) -> None:
        """``make_protocol`` makes what serves one connection, which counts it again."""
        self._listening = listening
        self._certificate = certificate
        self._limits = limits
        self._make_protocol = make_protocol
        self._tasks: set[asyncio.Task[None]] = set()
        """Connections until their handshake is done."""
        self._resuming: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._resume()

    def close(self) -> None:
        """Accept no more; handshakes under way end."""
        if self._resuming is not None:
            self._resuming.cancel()
        self._loop.remove_reader(self._listening)
        for task in tuple(self._tasks):
            task.cancel()

    def _resume(self) -> None:
        self._loop.add_reader(self._listening, self._on_connect)

    def _on_connect(self) -> None:
        for _ in range(MAX_ACCEPTS):
            try:
                client, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue
            except OSError as error:
                log.warning("connections wait: %s", error.strerror)
                self._loop.remove_reader(self._listening)
                self._resuming = self._loop.call_later(PAUSE, self._resume)
                return
            client.setblocking(False)
            task = self._loop.create_task(self._begin(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _begin(self, client: socket.socket) -> None:
        """Give the connection its protocol, once it is known what the client speaks."""
        address = _address_of(client)
        with contextlib.ExitStack() as counted:
            try:
                self._count(client, address, counted)
                await self._speak(client, counted)
            except HTTPProblem as problem:
                self._limits.warn(address, problem.reason)
            except ssl.SSLError as error:
                self._limits.warn(address, f"Its TLS handshake failed ({error.reason}).")
            except (TimeoutError, ConnectionAbortedError):  # the second is uvloop's
                seconds = self._limits.settings.header_timeout
                sentence = f"Its TLS handshake did not come within {seconds:g} seconds."
                self._limits.warn(address, f"{sentence} (setting header_timeout)")
            except OSError:  # it left
                return

    def _count(self, client: socket.socket, address: str, counted: contextlib.ExitStack) -> None:
        """Raises HTTPProblem when there are too many; the socket is then closed."""
        limiter = self._limits.limiter
        try:
            limiter.acquire()
            counted.callback(limiter.release)
            if not limiter.is_proxy(address):
                key = limiter.acquire_address(address, self._loop.time())
                counted.callback(limiter.release_address, key)
        except HTTPProblem:
            client.close()
            raise

    async def _speak(self, client: socket.socket, counted: contextlib.ExitStack) -> None:
        first = await self._first_byte(client)
        if first == HANDSHAKE:
            await self._shake_hands(client, counted)
        elif first:
            await self._redirect(client)
        else:
            client.close()

    async def _first_byte(self, client: socket.socket) -> bytes:
        """It stays to be read. b"" if the client has left."""
        try:
            async with asyncio.timeout(self._limits.settings.header_timeout):
                while True:
                    try:
                        return client.recv(1, socket.MSG_PEEK)
                    except BlockingIOError:
                        await self._readable(client)
        except BaseException:
            client.close()
            raise

    async def _readable(self, client: socket.socket) -> None:
        readable = self._loop.create_future()
        self._loop.add_reader(client, _finish, readable)
        try:
            await readable
        finally:
            self._loop.remove_reader(client)

    async def _shake_hands(self, client: socket.socket, counted: contextlib.ExitStack) -> None:
        """From here on the loop closes the socket."""
        await self._loop.connect_accepted_socket(
            lambda: TlsHandshake(self._make_protocol, counted.close),
            client,
            ssl=self._certificate.context,
            ssl_handshake_timeout=self._limits.settings.header_timeout,
            ssl_shutdown_timeout=CLOSE_TIMEOUT,
        )

    async def _redirect(self, client: socket.socket) -> None:
        """Answer and wait for the end, so that the connection counts until then."""
        ended: asyncio.Future[None] = self._loop.create_future()
        transport, _ = await self._loop.connect_accepted_socket(
            lambda: PlainRedirect(self._limits, ended), client
        )
        try:
            async with asyncio.timeout(self._limits.settings.header_timeout):
                await ended
        finally:
            transport.abort()


class TlsHandshake(asyncio.Protocol):
    """A connection until TLS is established; then its own protocol serves it."""

    def __init__(
        self, make_protocol: Callable[[], asyncio.Protocol], release: Callable[[], None]
    ) -> None:
        """``release`` ends the count that the connection has until its protocol counts it."""
        self._make_protocol = make_protocol
        self._release = release

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._release()
        protocol = self._make_protocol()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _address_of(client: socket.socket) -> str:
    try:
        peer = client.getpeername()
    except OSError:  # it has left
        return "local"
    return str(peer[0]) if isinstance(peer, tuple) else "local"

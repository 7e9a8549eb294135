"""Copies between a client that speaks TLS with this worker, and the worker of its session.

The descriptor of such a connection is of no use in another process: its keys are in this one. So
the other worker gets one end of a pair of sockets in its place, with the same message (see
``connection_forwarder``), and here every byte is copied. Each side is read only while the other one
takes what was read, so a slow client costs its worker what it costs without the copy.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast


class TlsRelay:
    """One connection, until either side ends."""

    def __init__(
        self,
        client: asyncio.Transport,
        worker: socket.socket,
        connections: set[Any],
        on_lost: Callable[[], None],
    ) -> None:
        """``worker`` is our end of the pair. It is one of ``connections`` until ``on_lost``."""
        self._client = client
        self._connections = connections
        self._on_lost = on_lost
        self._worker: asyncio.Transport | None = None
        """None until the loop has it."""
        connections.add(self)
        client.pause_reading()
        client.set_protocol(RelaySide(lambda: self._worker, self._on_client_lost))
        loop = asyncio.get_running_loop()
        self._opening = loop.create_task(self._open(loop, worker))

    async def _open(self, loop: asyncio.AbstractEventLoop, worker: socket.socket) -> None:
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: RelaySide(lambda: self._client, self._client.close), worker
            )
        except OSError:
            worker.close()
            self._client.close()
            return
        self._worker = transport
        if self._client.is_closing():
            transport.close()
        else:
            self._client.resume_reading()

    def _on_client_lost(self) -> None:
        if self._worker is not None:
            self._worker.close()
        self._connections.discard(self)
        self._on_lost()

    def abort(self) -> None:
        """The server ends."""
        self._client.abort()


class RelaySide(asyncio.Protocol):
    """What one side sends goes to the other, as fast as that takes it."""

    def __init__(
        self, other: Callable[[], asyncio.Transport | None], on_lost: Callable[[], None]
    ) -> None:
        """``other`` gives the transport of the other side; None while that is made."""
        self._other = other
        self._on_lost = on_lost

    def data_received(self, data: bytes) -> None:
        other = cast(asyncio.Transport, self._other())  # before it is there, this side is not read
        if not other.is_closing():
            other.write(data)

    def pause_writing(self) -> None:
        other = self._other()
        if other is not None and not other.is_closing():
            other.pause_reading()

    def resume_writing(self) -> None:
        other = self._other()
        if other is not None and not other.is_closing():
            other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()

"""Connections of clients whose session is in another worker: they are handed over to it.

A client upgrades its session from long polling to WebSocket on a connection of its own, which any
worker may accept. It is handed over as a file descriptor, with the head of its request. From then
on it belongs to the other worker, and costs this one nothing; only with TLS this one goes on
copying it (``tls_relay``). The other side is ``adopted_connections``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from statecast.http.head import BY_PROXY, LOCAL, RequestHead
from statecast.realtime.websocket_connection import WebSocketEndpoint
from statecast.server import link_messages
from statecast.server.tls_relay import TlsRelay
from statecast.server.worker_link import CONNECTIONS, WorkerBusy, WorkerGone, WorkerLink


class ConnectionForwarder:
    """Takes requests for a WebSocket: ours, or those of a session in another worker."""

    def __init__(
        self,
        local: WebSocketEndpoint,
        link: WorkerLink,
        on_lost: Callable[[str | None], None],
        connections: set[Any],
    ) -> None:
        """``on_lost`` gets the key under which a connection that was handed over was counted.

        ``connections`` are those that this process still serves.
        """
        self.path = local.path
        self._connections = connections
        self._local = local
        self._link = link
        self._on_lost = on_lost

    def accept(
        self,
        transport: asyncio.Transport,
        head: RequestHead,
        *,
        client_address: str | None = None,
        client_key: str | None = None,
        rest: bytes = b"",
    ) -> None:
        """See ``WebSocketEndpoint``, which refuses what cannot be handed over.

        The client then stays on long polling.
        """
        worker_id = self._link.elsewhere(head.query.get("sid", ""))
        if worker_id is not None:
            message = link_messages.encode(head_message(head, client_address, rest))
            on_lost = partial(self._on_lost, client_key)
            if self._hand_over(transport, worker_id, message, on_lost):
                return
        self._local.accept(
            transport, head, client_address=client_address, client_key=client_key, rest=rest
        )

    def _hand_over(
        self,
        transport: asyncio.Transport,
        worker_id: str,
        message: bytes,
        on_lost: Callable[[], None],
    ) -> bool:
        """Whether the other worker has the connection."""
        if transport.get_extra_info("ssl_object") is not None:
            return self._relay(transport, worker_id, message, on_lost)
        if transport.get_write_buffer_size():
            return False  # what is still to be written here could not be written there
        descriptor = transport.get_extra_info("socket").fileno()
        if not self._send(worker_id, message, descriptor):
            return False
        transport.set_protocol(HandedOver(on_lost))
        transport.abort()
        return True

    def _relay(
        self,
        transport: asyncio.Transport,
        worker_id: str,
        message: bytes,
        on_lost: Callable[[], None],
    ) -> bool:
        try:
            ours, theirs = socket.socketpair()
        except OSError:  # no descriptor is left
            return False
        with theirs:
            sent = self._send(worker_id, message, theirs.fileno())
        if not sent:
            ours.close()
            return False
        ours.setblocking(False)
        TlsRelay(transport, ours, self._connections, on_lost)
        return True

    def _send(self, worker_id: str, message: bytes, descriptor: int) -> bool:
        """Send the other worker a connection; whether it has it."""
        try:
            with self._link.connect(worker_id, CONNECTIONS) as connection:
                # Of a part the worker makes nothing: it closes its descriptor again.
                return socket.send_fds(connection, [message], [descriptor]) == len(message)
        except (WorkerGone, WorkerBusy, OSError):
            return False


def head_message(head: RequestHead, client_address: str | None, rest: bytes) -> dict[str, Any]:
    """The head of a request as a message between workers; ``rest`` came after it."""
    return {
        "type": link_messages.CONNECTION,
        "method": head.method,
        "path": head.path,
        "query_string": head.query_string,
        "headers": [(name, value) for name, values in head.headers.items() for value in values],
        "scheme": "https" if head.secure else "http",
        "extensions": {LOCAL: head.local, BY_PROXY: head.by_proxy},
        "client": [client_address, 0],
        "body": rest,
    }


class HandedOver(asyncio.Protocol):
    """The rest of a connection in this process, which closes its own descriptor only."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()

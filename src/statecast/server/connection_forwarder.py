"""Connections of clients whose session is in another worker: they are handed over to it.

A client upgrades its session from long polling to WebSocket on a connection of its own, which any
worker may accept. It is handed over as a file descriptor, with the head of its request. From then
on it belongs to the other worker, and costs this one nothing. The other side is
``adopted_connections``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from statecast.http.head import BY_PROXY, LOCAL, RequestHead
from statecast.realtime.websocket_connection import WebSocketEndpoint
from statecast.server import link_messages
from statecast.server.worker_link import CONNECTIONS, WorkerBusy, WorkerGone, WorkerLink


class ConnectionForwarder:
    """Takes requests for a WebSocket: ours, or those of a session in another worker."""

    def __init__(
        self,
        local: WebSocketEndpoint,
        link: WorkerLink,
        on_lost: Callable[[str | None], None],
    ) -> None:
        """``on_lost`` gets the key under which a connection that was handed over was counted."""
        self.path = local.path
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
        if worker_id is not None and can_be_handed_over(transport):
            message = head_message(head, client_address, rest)
            if self._hand_over(transport, worker_id, message):
                transport.set_protocol(HandedOver(self._on_lost, client_key))
                transport.abort()
                return
        self._local.accept(
            transport, head, client_address=client_address, client_key=client_key, rest=rest
        )

    def _hand_over(
        self, transport: asyncio.Transport, worker_id: str, message: dict[str, Any]
    ) -> bool:
        """Send the other worker the connection; whether it has it."""
        data = link_messages.encode(message)
        descriptor = transport.get_extra_info("socket").fileno()
        try:
            with self._link.connect(worker_id, CONNECTIONS) as connection:
                # Of a part the worker makes nothing: it closes its descriptor again.
                return socket.send_fds(connection, [data], [descriptor]) == len(data)
        except (WorkerGone, WorkerBusy, OSError):
            return False


def can_be_handed_over(transport: asyncio.Transport) -> bool:
    """Not what is still to be written here, and not TLS, whose keys are in this process."""
    is_tls = transport.get_extra_info("ssl_object") is not None
    return not is_tls and not transport.get_write_buffer_size()


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

    def __init__(self, on_lost: Callable[[str | None], None], client_key: str | None) -> None:
        self._on_lost = on_lost
        self._client_key = client_key

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost(self._client_key)

"""What all endpoints that speak ASGI share: its types, a response in one call, the client's end.

The specification: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON, TEXT = "application/json", "text/plain; charset=UTF-8"


class BodyTooLarge(Exception):
    """The body has more bytes than it may."""


class ClientDisconnected(Exception):
    """The client is gone: nothing can be read from it or sent to it."""


def client_address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "local"


async def read_body(
    receive: Receive, max_bytes: int, count: Callable[[int], None] = lambda size: None
) -> bytes:
    """The whole body. Raises ClientDisconnected, or BodyTooLarge without reading on.

    ``count`` is called with the size so far after each part; what it raises ends the reading.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        body += message.get("body", b"")
        count(len(body))
        if len(body) > max_bytes:
            raise BodyTooLarge
        if not message.get("more_body"):
            return bytes(body)


async def disconnected(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def respond(
    send: Send,
    status: int,
    body: bytes,
    kind: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Send a response; returns when its client has taken all but what the transport buffers.

    The end is a message of its own because a server waits before it writes, not after.
    """
    head = [
        (b"content-type", kind.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*head, *headers]})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})

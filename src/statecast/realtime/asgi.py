"""What the endpoints that speak ASGI share: reading a request's head, answering it, noticing that its client left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from statecast.http.head import RequestHead
from statecast.realtime.protocol import handshake
from statecast.realtime.protocol.handshake import Declined

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

JSON, TEXT = "application/json", "text/plain; charset=UTF-8"


def address_of(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "local"


def check_origin(head: RequestHead, allowed: Iterable[str]) -> list[tuple[bytes, bytes]]:
    """The headers by which a page of another origin may read the answer. Raises Declined."""
    handshake.check_origin(head, allowed)
    origin = handshake.single(head, b"origin")
    if origin is None:
        return []
    return [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]


async def gone(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def respond(send: Send, status: int, body: bytes, kind: str, headers: Headers = ()) -> None:
    """Answer, and return when the peer has taken it but for what fits into its transport's buffer.

    That is why the end is a message of its own: a server waits before it writes, not after.
    """
    head = [
        (b"content-type", kind.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*head, *headers]})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def decline(send: Send, declined: Declined, headers: Headers = ()) -> None:
    lines = (line.partition(": ") for line in declined.headers.split("\r\n") if line)
    more = [(name.encode(), value.encode()) for name, _, value in lines]
    await respond(
        send,
        declined.status,
        declined.body,
        declined.kind,
        [(b"connection", b"close"), *more, *headers],
    )

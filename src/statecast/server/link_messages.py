"""The messages between workers: those of ASGI, each as a JSON object and the bytes of its body.

One connection carries one request. The worker that accepts it says ``worker.accepted`` first, or
``worker.busy``. Then one side sends the scope and the messages of ``receive``, the other side those
of ``send``. The end of the connection is the client's disconnect, or the worker's death.

A body travels in pieces, so that no side holds more of it than one piece and a full buffer. The
worker that answers never closes first: what still comes would break its answer off.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from typing import Any

from statecast.http.asgi import Message

ACCEPTED, BUSY = "worker.accepted", "worker.busy"
CONNECTION = "worker.connection"
"""The head of a request on a connection that is handed over; its body is what came after it."""
WITH_BODY = {"http.request", "http.response.body", CONNECTION}
PIECE = 65_536
"""Bytes of a body in one message."""
MAX_HEAD = 16 * 1_048_576
"""Bytes of a message without its body: the head of a request as long as any setting allows."""
_SIZES = struct.Struct("!II")

Broken = (asyncio.IncompleteReadError, ConnectionError, ValueError)
"""What reading and writing raise when the other side has gone, or is no worker."""


def encode(message: Message) -> bytes:
    return _frame(_head_of(message), message.get("body", b""))


def pieces(message: Message) -> Iterator[bytes]:
    """The message as one or, for a long body, as several."""
    head, body = _head_of(message), message.get("body", b"")
    for start in range(0, max(len(body), 1), PIECE):
        piece = body[start : start + PIECE]
        if start + PIECE < len(body):
            yield _frame(head | {"more_body": True}, piece)
        else:
            yield _frame(head, piece)


def _head_of(message: Message) -> dict[str, Any]:
    return {name: _text(value) for name, value in message.items() if name != "body"}


def _frame(head: dict[str, Any], body: bytes) -> bytes:
    encoded = json.dumps(head, separators=(",", ":")).encode()
    return _SIZES.pack(len(encoded), len(body)) + encoded + body


def _text(value: Any) -> Any:
    """Bytes as text, one character for each; also in the pairs of header fields."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return [_text(one) for one in value] if isinstance(value, (list, tuple)) else value


async def write(writer: asyncio.StreamWriter, message: Message) -> None:
    """Write a message; returns when the buffer has room again. Raises what is in Broken."""
    for frame in pieces(message):
        writer.write(frame)
        await writer.drain()


async def read(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next message. Raises what is in Broken."""
    head_size, body_size = _SIZES.unpack(await reader.readexactly(_SIZES.size))
    if head_size > MAX_HEAD or body_size > PIECE:
        raise ValueError("not the message of a worker")
    head = await reader.readexactly(head_size)
    return _message(head, await reader.readexactly(body_size))


def decode(data: bytes) -> dict[str, Any] | None:
    """The message that ``data`` is, whole and alone; None if it is not."""
    start = _SIZES.size
    try:
        head_size, body_size = _SIZES.unpack_from(data)
        end = start + head_size
        return _message(data[start:end], data[end:]) if len(data) == end + body_size else None
    except (ValueError, struct.error):
        return None


def _message(head: bytes, body: bytes) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(head)
    if "headers" in message:
        message["headers"] = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in message["headers"]
        ]
    if "query_string" in message:
        message["query_string"] = message["query_string"].encode("latin-1")
    if message.get("type") in WITH_BODY:
        message["body"] = body
    return message

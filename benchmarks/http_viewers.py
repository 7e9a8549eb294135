"""Viewers over HTTP in a process of their own: server-sent events, and Socket.IO's long polling.

They count the updates that arrive. Commands have the format of peers/.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, cast

from benchmarks import client_frames
from benchmarks.processes import answer, raise_file_limit

AT_ONCE = 50
"""Connections that are opened at the same time."""


class Viewers:
    """What all of them received."""

    def __init__(self) -> None:
        self.updates = 0
        self.lost = 0


class EventStream(asyncio.Protocol):
    """A viewer of ``/events``."""

    def __init__(self, viewers: Viewers, port: int) -> None:
        self.viewers = viewers
        self.port = port
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tail = b""
        """The end of what was read, in which the mark of an update may begin."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(
            f"GET /events?device=pillow HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        text = self._tail + data
        found = text.count(client_frames.UPDATE)
        self.viewers.updates += found
        self._tail = text[1 - len(client_frames.UPDATE) :]
        if found and not self.open.done():
            self.open.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.viewers.lost += 1
        if not self.open.done():
            self.open.set_exception(ConnectionError("the stream has ended"))


class LongPoll(asyncio.Protocol):
    """A viewer over long polling, on one connection that is kept."""

    def __init__(self, viewers: Viewers, port: int) -> None:
        self.viewers = viewers
        self.port = port
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._address = client_frames.POLLING
        self._to_send = [client_frames.JOIN, client_frames.watch_packet(["pillow"])]
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._request("GET")

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator or len(rest) < client_frames.content_length(head):
            return
        self._received = b""
        if not head.startswith(b"HTTP/1.1 200"):
            self._transport.abort()
            return
        self._answered(rest)

    def _answered(self, body: bytes) -> None:
        if body.startswith(b"0"):
            self._address += f"&sid={json.loads(body[1:])['sid']}"
        found = body.count(client_frames.UPDATE)
        self.viewers.updates += found
        if found and not self.open.done():
            self.open.set_result(None)
        if self._to_send and body != b"ok":
            self._request("POST", self._to_send.pop(0))
        else:
            self._request("GET")

    def _request(self, method: str, body: str = "") -> None:
        self._transport.write(
            f"{method} {self._address} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    def connection_lost(self, error: Exception | None) -> None:
        self.viewers.lost += 1
        if not self.open.done():
            self.open.set_exception(ConnectionError("the session has ended"))


KINDS = {"server-sent events": EventStream, "long polling": LongPoll}


async def connect(viewers: Viewers, kind: str, port: int, number: int) -> None:
    loop = asyncio.get_running_loop()

    async def one() -> None:
        _, viewer = await loop.create_connection(
            lambda: KINDS[kind](viewers, port), "127.0.0.1", port
        )
        await viewer.open

    for first in range(0, number, AT_ONCE):
        await asyncio.gather(*(one() for _ in range(min(AT_ONCE, number - first))))


async def quiet(viewers: Viewers) -> None:
    """Wait until nothing has arrived for a moment."""
    before = -1
    while before != viewers.updates:
        before = viewers.updates
        await asyncio.sleep(0.3)


async def obey(viewers: Viewers, do: str, **command: Any) -> None:
    try:
        if do == "connect":
            await connect(viewers, **command)
        elif do == "quiet":
            await quiet(viewers)
        else:
            viewers.updates = 0
        answer(updates=viewers.updates, lost=viewers.lost)
    except OSError as error:
        answer(error=str(error))


async def main() -> None:
    raise_file_limit()
    viewers, lines = Viewers(), asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while line := await lines.readline():
        await obey(viewers, **json.loads(line))


if __name__ == "__main__":
    asyncio.run(main())

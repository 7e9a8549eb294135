"""A proxy that forwards data in small pieces, some of them with a delay."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from proxying import connect, listening, port_of, start_server


class SlowProxy:
    """Forwards in slices, many of one or a few bytes, with a pause now and then."""

    def __init__(self, port: int, seed: int, loop: asyncio.AbstractEventLoop) -> None:
        self.port = port
        self.loop = loop
        self.random = random.Random(seed)
        self.slices = 0
        self.cuts = 0
        self.transports: set[asyncio.BaseTransport] = set()
        self._connected = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await connect(self.port, self.transports)
        except OSError:
            self.transports.discard(writer.transport)
            writer.close()
            return
        self._connected.set()
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        for one in (writer, back):
            self.transports.discard(one.transport)
            one.close()
        if not self.transports:
            self._connected.clear()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                at = 0
                while at < len(data):
                    size = self.random.choice(
                        [1, self.random.randint(1, 9), self.random.randint(1, 900)]
                    )
                    writer.write(data[at : at + size])
                    await writer.drain()
                    at += size
                    self.slices += 1
                    await asyncio.sleep(0.0005 if self.random.random() < 0.02 else 0)
            writer.write_eof()
        except OSError:
            writer.close()

    def cut(self) -> None:
        """Cut every connection. Callable from any thread.

        Waits for a first one: long polling has no connection between two polls.
        """
        asyncio.run_coroutine_threadsafe(self._cut(), self.loop).result(30)

    async def _cut(self) -> None:
        await self._connected.wait()
        self.cuts += 1
        self.abort_all()

    def abort_all(self) -> None:
        for transport in tuple(self.transports):
            cast(asyncio.Transport, transport).abort()


@contextmanager
def slow_proxy(address: str, seed: int = 1) -> Iterator[tuple[str, SlowProxy]]:
    """The address of a proxy before ``address``, and the proxy."""
    loop = asyncio.new_event_loop()
    proxy = SlowProxy(port_of(address), seed, loop)
    with listening(
        loop, lambda: start_server(proxy.serve, proxy.transports), proxy.abort_all
    ) as there:
        yield there, proxy

"""A proxy without WebSocket: it answers the upgrade with an error, or never."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from proxying import connect, listening, port_of, start_server


class Blocking:
    """Forwards connections, except upgrades to WebSocket while ``how`` says so."""

    def __init__(self, port: int, how: str) -> None:
        self.port = port
        self.how = how
        """``open`` (let it pass), ``swallow`` (say nothing), or the status of the answer."""
        self.passed = 0
        """Upgrades that were let through."""
        self.blocked = 0
        self.transports: set[asyncio.BaseTransport] = set()

    def cut(self) -> None:
        """End all connections, whatever they still have to write."""
        for transport in self.transports:
            cast(asyncio.Transport, transport).abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"upgrade: websocket" in head.lower():
                if self.how != "open":
                    await self._block(reader, writer)
                    return
                self.passed += 1
            there, back = await connect(self.port, self.transports)
            back.write(head)
            await asyncio.gather(pump(reader, back), pump(there, writer))
            back.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # (the test ends: asyncio logs a connection's task that ends as cancelled)
        finally:
            writer.close()

    async def _block(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.blocked += 1
        if self.how == "swallow":
            await reader.read()  # until the client gives up
        else:
            writer.write(
                f"HTTP/1.1 {self.how} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )
            await writer.drain()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@contextmanager
def blocking(address: str, how: str) -> Iterator[tuple[str, Blocking]]:
    """The address of a proxy before ``address``, and the proxy."""
    proxy = Blocking(port_of(address), how)
    with listening(
        asyncio.new_event_loop(),
        lambda: start_server(proxy.serve, proxy.transports),
        proxy.cut,
    ) as there:
        yield there, proxy

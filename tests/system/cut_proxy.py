"""A proxy that cuts all connections after a number of bytes in one direction."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from proxying import listening, port_of

DOWN, UP = "down", "up"
"""From the server to the client, and back."""


class CutProxy:
    """Forwards ``budget`` bytes in one direction over all connections, then cuts all of them once.

    Not one byte more gets through. After the cut everything passes until the next budget.
    """

    def __init__(self, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.port = port
        self.loop = loop
        self.left: dict[str, int] = {}
        self._transports: set[asyncio.Transport] = set()

    # From any thread

    def begin(self, direction: str, budget: int) -> None:
        """Cut all connections and set the budget of the next ones. Returns when it is done."""
        asyncio.run_coroutine_threadsafe(self._begin(direction, budget), self.loop).result(10)

    @property
    def spent(self) -> bool:
        """Whether the budget was used up, and the cut made."""
        return not self.left

    # On the loop

    async def _begin(self, direction: str, budget: int) -> None:
        self.cut()
        self.left = {direction: budget}

    def cut(self) -> None:
        for transport in tuple(self._transports):
            transport.abort()
        self._transports.clear()

    def pass_on(self, direction: str, data: bytes, to: asyncio.Transport) -> None:
        left = self.left.get(direction)
        if left is None or len(data) < left:
            to.write(data)
            if left is not None:
                self.left[direction] = left - len(data)
            return
        to.write(data[:left])
        self.left = {}
        # The few bytes written go to the kernel at once, because its buffer is empty.
        self.cut()

    def add(self, transport: asyncio.Transport) -> None:
        self._transports.add(transport)

    def drop(self, transport: asyncio.Transport) -> None:
        self._transports.discard(transport)


class Side(asyncio.Protocol):
    """One end of a connection through the proxy. The client's end opens the server's."""

    def __init__(self, proxy: CutProxy, direction: str, other: Side | None = None) -> None:
        self.proxy = proxy
        self.direction = direction
        self.other = other
        self.early = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.proxy.add(transport)
        if self.other is None:
            self.task = asyncio.get_running_loop().create_task(self._connect())
            return
        self.other.other = self
        if self.other.early:  # received before the connection to the server was open
            self.proxy.pass_on(UP, bytes(self.other.early), transport)

    async def _connect(self) -> None:
        other = Side(self.proxy, DOWN, self)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: other, "127.0.0.1", self.proxy.port
            )
        except OSError:
            self._end()
            return
        if self.transport is None or self.transport.is_closing():
            other._end()

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self.early += data
        else:
            self.proxy.pass_on(self.direction, data, self.other.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        assert self.transport is not None
        self.proxy.drop(self.transport)
        if self.other is not None:
            self.other._end()

    def _end(self) -> None:
        if self.transport is not None:
            self.transport.close()


@contextmanager
def cut_proxy(address: str) -> Iterator[tuple[str, CutProxy]]:
    """The address of a proxy before ``address``, and the proxy."""
    loop = asyncio.new_event_loop()
    proxy = CutProxy(port_of(address), loop)
    with listening(
        loop, lambda: loop.create_server(lambda: Side(proxy, UP), "127.0.0.1", 0), proxy.cut
    ) as there:
        yield there, proxy

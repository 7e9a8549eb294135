"""Runs a proxy of the tests on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


class Noted(asyncio.StreamReaderProtocol):
    """Puts its transport into ``opened`` as soon as there is one.

    A task that is cancelled before it begins, or while a new connection waits for it, would lose an
    open transport.
    """

    def __init__(self, opened: set[asyncio.BaseTransport], serve: Serve | None = None) -> None:
        self.opened = opened
        self.reader = asyncio.StreamReader()
        super().__init__(self.reader, serve)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.opened.add(transport)
        super().connection_made(transport)


async def start_server(serve: Serve, opened: set[asyncio.BaseTransport]) -> asyncio.Server:
    """Like ``asyncio.start_server``, on a free port."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Noted(opened, serve), "127.0.0.1", 0)


async def connect(
    port: int, opened: set[asyncio.BaseTransport]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Like ``asyncio.open_connection``."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(lambda: Noted(opened), "127.0.0.1", port)
    return protocol.reader, asyncio.StreamWriter(transport, protocol, protocol.reader, loop)


async def end_connections() -> None:
    """Cancel the tasks of all connections, and let their transports close before the loop does."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(2):  # a transport that was closed or aborted reports it one turn later
        await asyncio.sleep(0)


@contextmanager
def listening(
    loop: asyncio.AbstractEventLoop,
    listen: Callable[[], Awaitable[asyncio.Server]],
    cut: Callable[[], object] | None = None,
) -> Iterator[str]:
    """Run ``loop`` on a thread with the server of ``listen``; yields its address.

    At the end ``cut`` is called on that thread.
    """
    ports: list[int] = []
    begun = threading.Event()
    stop = asyncio.Event()

    async def main() -> None:
        server = await listen()
        ports.append(server.sockets[0].getsockname()[1])
        begun.set()
        await stop.wait()
        # Accept no more, and let the task of each accepted connection begin: one that begins after
        # `close` fails in asyncio (python/cpython#109564) and leaves its socket open.
        for one in server.sockets:
            loop.remove_reader(one.fileno())
        for _ in range(5):
            await asyncio.sleep(0)
        server.close()
        if cut is not None:
            cut()
        await end_connections()

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert begun.wait(10)
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)

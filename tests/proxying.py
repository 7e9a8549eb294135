"""Runs a proxy of the tests on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


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
        server.close()
        for _ in range(5):  # a connection whose task has not begun yet would close nothing
            await asyncio.sleep(0)
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

"""A way to a Unix socket from a network, with a delay that can be changed while it is used.

    python latency_proxy.py ADDRESS PORT SOCKET

Each line on standard input is ``{"peer": ADDRESS, "delay": SECONDS}``: from now on bytes from and
to this peer are so late, in each direction. It is answered by an empty line.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections import defaultdict
from contextlib import suppress

DELAYS: defaultdict[str, float] = defaultdict(float)
"""Seconds by the address of the peer."""
CHUNK = 65_536
WAITING = 256
"""Chunks that may be under way in one direction; then the sender waits."""


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
    """Pass bytes on, in their order, each when its time has come; then the end."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING)

    async def take() -> None:
        data = b"x"
        while data:
            try:
                data = await reader.read(CHUNK)
            except OSError:
                data = b""
            await under_way.put((loop.time() + DELAYS[peer], data))

    taking = asyncio.create_task(take())
    try:
        while True:
            due, data = await under_way.get()
            if (late := due - loop.time()) > 0:
                await asyncio.sleep(late)
            if not data:
                return
            writer.write(data)
            await writer.drain()
    except OSError:
        return
    finally:
        taking.cancel()
        writer.close()


def notice_vanished(connection: socket.socket) -> None:
    """End the connection, and so its session in the server, 6 s after the peer's host is gone.

    The holder of a lease asks that of its connection; the server sees only ours.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, 2),
        (socket.TCP_KEEPINTVL, 2),
        (socket.TCP_KEEPCNT, 2),
        (socket.TCP_USER_TIMEOUT, 6_000),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


async def main(address: str, port: int, path: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")[0]
        notice_vanished(writer.get_extra_info("socket"))
        try:
            there, back = await asyncio.open_unix_connection(path)
        except OSError:  # the server is away: the peer is refused
            writer.transport.abort()
            return
        await asyncio.gather(pump(reader, back, peer), pump(there, writer, peer))

    server = await asyncio.start_server(serve, address, port)
    print(flush=True)
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        wanted = json.loads(line)
        DELAYS[wanted["peer"]] = wanted["delay"]
        print(flush=True)
    server.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))

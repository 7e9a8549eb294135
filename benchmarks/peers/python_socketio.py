"""python-socketio on uvicorn, with the loop and the protocols that uvicorn chooses by itself."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import socketio
import uvicorn

from benchmarks.processes import answer, raise_file_limit

server = socketio.AsyncServer(async_mode="asgi", ping_interval=600)


async def obey(line: bytes) -> None:
    command = json.loads(line)
    for _ in range(command["rounds"]):
        await server.emit("states", command["data"])
        await asyncio.sleep(command.get("pause", 0))


async def serve() -> None:
    application = socketio.ASGIApp(server)
    # No pings of WebSocket's own: the viewers of a benchmark answer none.
    config = uvicorn.Config(
        application, port=0, log_level="error", lifespan="off", ws_ping_interval=None
    )
    served = uvicorn.Server(config)
    running = asyncio.create_task(served.serve())
    while not served.started:
        await asyncio.sleep(0.01)
    answer(port=served.servers[0].sockets[0].getsockname()[1])
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        await obey(line)
    running.cancel()


def main() -> Any:
    raise_file_limit()
    config = uvicorn.Config("", loop="auto")
    factory = config.get_loop_factory() if hasattr(config, "get_loop_factory") else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()

"""A stock Socket.IO client against the viewer endpoint behind a plain uvicorn."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import socketio as stock
import uvicorn
from paper import FakeBroadcaster, Piece
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from statecast.settings import Settings
from statecast.viewers.hub import Hub
from statecast.viewers.viewer import bind


async def nothing_else(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """The hub behind a plain uvicorn, in a thread."""
    config = uvicorn.Config(
        nothing_else, port=0, http=HttpToolsProtocol, ws=bind(hub), lifespan="off", log_level="warning", loop="uvloop"
    )
    started = threading.Event()
    ports: list[int] = []

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ports.append(self.servers[0].sockets[0].getsockname()[1])
            started.set()

    server = Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        server.should_exit = True
        thread.join(10)
    assert not thread.is_alive()


def test_a_stock_client_watches_is_emitted_to_and_asks() -> None:
    # given a server with a namespace, a handler, and pings far below a second
    broadcaster = FakeBroadcaster()
    settings = Settings(ping_interval=0.1, ping_timeout=5)
    hub = Hub(broadcaster, settings, namespaces=["/test"])
    hub.on("hug", lambda sid, data: (len(data), data))
    heard: queue.Queue[tuple[str, Any]] = queue.Queue()

    with serving(hub) as address, closing(stock.Client()) as client:
        client.on("states", lambda data: heard.put(("states", data)))
        client.on("message", lambda data: heard.put(("message", data)), namespace="/test")
        client.connect(address, transports=["websocket"], namespaces=["/", "/test"])

        # when it watches, then it is acknowledged and told
        assert client.call("watch", {"devices": ["*"]}) == {"epoch": "e", "offset": 0, "reset": False}
        (watching,) = broadcaster.watching
        assert hub.loop is not None
        hub.loop.call_soon_threadsafe(watching.deliver, Piece("states", b'{"states":[{"device":"pillow"}]}'))
        assert heard.get(timeout=10) == ("states", {"states": [{"device": "pillow"}]})

        # when something is emitted to the other namespace, a long text, then it arrives there
        data = json.dumps(["☁" * 50_000]).encode()
        hub.loop.call_soon_threadsafe(hub.emit, "/test", None, "message", data)
        assert heard.get(timeout=10) == ("message", "☁" * 50_000)

        # when it asks with bytes, then it is answered with bytes
        assert client.call("hug", b"\x00" * 60_000) == (60_000, b"\x00" * 60_000)


@contextmanager
def closing(client: stock.Client) -> Iterator[stock.Client]:
    try:
        yield client
    finally:
        client.disconnect()

"""The viewer endpoint behind a plain uvicorn in a thread.

WebSocket, long polling, server-sent events.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from statecast.broadcast.broadcaster import Broadcaster
from statecast.http.head import RequestHead, by_name
from statecast.realtime.hub import Hub
from statecast.realtime.polling import PollingEndpoint, PollingSessions
from statecast.realtime.sse import EventStreamEndpoint
from statecast.realtime.websocket_connection import WebSocketEndpoint
from statecast.settings import Settings


class EndpointApp:
    """The ASGI app: polling and server-sent events by their paths."""

    def __init__(
        self, hub: Hub, broadcaster: Broadcaster, settings: Settings, sessions: PollingSessions
    ) -> None:
        self.apps: dict[str, Any] = {
            "/socket.io/": PollingEndpoint(hub, settings, sessions),
            "/events": EventStreamEndpoint(hub, broadcaster, settings),
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        app = self.apps.get(scope["path"])
        if app is not None:
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@contextmanager
def serving(
    hub: Hub, broadcaster: Broadcaster, settings: Settings, *, follows: bool = False
) -> Iterator[str]:
    """The address at which ``hub`` is served meanwhile. It stops as our server does: viewers first.

    ``follows``: the broadcaster follows its store.
    """
    sessions = PollingSessions(settings)

    class UpgradingProtocol(HttpToolsProtocol):
        """uvicorn's, which hands a WebSocket over as our own HTTP protocol does."""

        def _should_upgrade(self) -> bool:
            return self._get_upgrade() == b"websocket"

        def handle_websocket_upgrade(self) -> None:
            self.connections.discard(self)
            method, secure = self.scope["method"], self.scope["scheme"] == "https"
            head = RequestHead.of_target(method, self.url, by_name(self.headers), secure)
            endpoint.accept(self.transport, head)

    config = uvicorn.Config(
        EndpointApp(hub, broadcaster, settings, sessions),
        port=0,
        http=UpgradingProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        loop="uvloop",
    )
    started = threading.Event()
    ports: list[int] = []

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            hub.start(asyncio.get_running_loop())
            if follows:
                broadcaster.start(asyncio.get_running_loop())
            await super().startup(sockets)
            ports.append(self.servers[0].sockets[0].getsockname()[1])
            started.set()

        async def shutdown(self, sockets: Any = None) -> None:
            await hub.close_all(1_000)
            if follows:
                broadcaster.stop()
            await super().shutdown(sockets)
            hub.close_threads()

    server = Server(config)
    endpoint = WebSocketEndpoint(
        hub, settings, sessions, connections=server.server_state.connections
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()

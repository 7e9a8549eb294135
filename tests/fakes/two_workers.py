"""Two workers of one server in this process: each has sessions, and a socket for the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from statecast.http.asgi import App, Receive, Scope, Send
from statecast.http.errors import HTTPProblem
from statecast.http.head import RequestHead, by_name
from statecast.realtime.polling import PollingEndpoint
from statecast.server.adopted_connections import AdoptedConnections
from statecast.server.connection_forwarder import ConnectionForwarder
from statecast.server.connection_limits import ConnectionLimiter
from statecast.server.forwarded_requests import ForwardedRequests
from statecast.server.http_protocol import HttpLimits
from statecast.server.request_forwarder import RequestForwarder
from statecast.server.worker_link import WorkerFolder, WorkerLink
from tests.fakes.asgi_client import AsgiRequest, HttpResponse
from tests.fakes.polling_harness import PollingClient, PollingHarness


class LinkedWorker(PollingHarness):
    """A worker; ``app`` answers what other workers forward, by default its polling endpoint."""

    def __init__(self, link: WorkerLink, app: App | None = None, **settings: Any) -> None:
        super().__init__(workers=2, **settings)
        self.link = link
        self.own = PollingEndpoint(
            self.hub, self.settings, self.sessions, worker_id=self.link.worker_id
        )
        self.limiter = ConnectionLimiter(self.settings)
        self.limits = HttpLimits(self.settings, self.limiter, lambda address, sentence: None)
        self.limits.start(self.loop, self.connections)
        self.forwarder = RequestForwarder(self.own, self.link, self.limiter, self.settings)
        self.endpoint = self._route  # type: ignore[assignment]
        self.websockets.on_lost = self.limits.websocket_lost
        self.limits.websockets = ConnectionForwarder(
            self.websockets, self.link, self.limits.websocket_lost, self.connections
        )
        self.forwarded = ForwardedRequests(self.link, app or self.own, self.limiter)
        self.adopted = AdoptedConnections(self.link, self.limits)

    async def start(self) -> None:
        self.adopted.start(self.loop)
        await self.forwarded.start()

    def die(self) -> None:
        """As after kill -9: the files of its sockets are there, and it does not listen."""
        self.forwarded.close()
        self.adopted.close()
        self.link.requests.close()
        self.link.connections.close()

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What the server's router does with a refusal."""
        try:
            await self.forwarder(scope, receive, send)
        except HTTPProblem as problem:
            await problem.send(send)

    async def end(self) -> None:
        self.die()
        self.link.close()
        await self.hub.close_all(1, grace=0)


class Front(asyncio.Protocol):
    """A connection to a worker whose first bytes are a request for a WebSocket."""

    def __init__(self, worker: LinkedWorker) -> None:
        self.worker = worker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        pairs = [line.split(b": ", 1) for line in lines]
        fields = by_name([(name.lower(), value) for name, value in pairs])
        limiter = self.worker.limiter
        limiter.acquire()
        key = limiter.acquire_address("198.51.100.7", 0.0)
        self.worker.limits.websockets.accept(
            self.transport,  # type: ignore[arg-type]
            RequestHead.of_target("GET", first.split(b" ")[1], fields, secure=False),
            client_address="198.51.100.7",
            client_key=key,
            rest=rest,
        )


class TwoWorkers:
    """``here`` gets the requests; the sessions of ``there`` are what they name."""

    def __init__(self, folder: WorkerFolder, here: LinkedWorker, there: LinkedWorker) -> None:
        self.folder = folder
        """A link that is added to it listens, and accepts nothing."""
        self.here = here
        self.there = there

    def request(self, method: str, query: str, *pieces: bytes, **more: Any) -> AsgiRequest:
        return self.here.request(method, query, *pieces, **more)

    async def response(self, method: str, query: str, *pieces: bytes, **more: Any) -> HttpResponse:
        return await self.request(method, query, *pieces, **more).task

    async def open(self) -> PollingClient:
        """A session of ``there`` whose client sends its requests to ``here``."""
        session = await self.there.open()
        return PollingClient(self.here, session.sid)

    @property
    def counted(self) -> tuple[int, int]:
        return self.here.limiter.total, self.there.limiter.total


@asynccontextmanager
async def two_workers(app: App | None = None, **settings: Any) -> AsyncIterator[TwoWorkers]:
    folder = WorkerFolder()
    here = LinkedWorker(folder.add(), **settings)
    both = TwoWorkers(folder, here, LinkedWorker(folder.add(), app, **settings))
    for worker in (both.here, both.there):
        await worker.start()
    try:
        yield both
    finally:
        for worker in (both.here, both.there):
            await worker.end()
        folder.close()
    assert not folder.path.exists()

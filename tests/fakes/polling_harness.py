"""Long polling without a network: an endpoint, and clients that poll it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from statecast.realtime.polling import PollingEndpoint
from tests.fakes.asgi_client import AsgiRequest, HttpResponse
from tests.fakes.harness import FakeClient, Harness

QUERY = "EIO=4&transport=polling"
SEPARATOR = "\x1e"


class PollingHarness(Harness):
    """A hub with its polling endpoint, on the running loop."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(loop=asyncio.get_running_loop(), namespaces=("/test",), **settings)
        self.endpoint = PollingEndpoint(self.hub, self.settings, self.sessions)

    def request(self, method: str, query: str, *pieces: bytes, **more: Any) -> AsgiRequest:
        return AsgiRequest(self.endpoint, method, "/socket.io/", query, pieces or (b"",), **more)

    async def response(self, method: str, query: str, *pieces: bytes, **more: Any) -> HttpResponse:
        return await self.request(method, query, *pieces, **more).task

    async def open(self, **more: Any) -> PollingClient:
        response = await self.response("GET", QUERY, **more)
        assert response.status == 200, response
        return PollingClient(self, json.loads(response.text[1:])["sid"], more.get("headers"))


class PollingClient:
    """One client that polls."""

    def __init__(
        self, harness: PollingHarness, sid: str, headers: dict[str, str] | None = None
    ) -> None:
        self.harness = harness
        self.sid = sid
        self.headers = headers
        """Of each poll."""
        self.query = f"{QUERY}&sid={sid}"

    def get(self) -> AsgiRequest:
        return self.harness.request("GET", self.query, headers=self.headers)

    async def poll(self) -> str:
        response = await self.get().task
        assert response.status == 200, response
        return response.text

    async def post(self, *packets: str) -> HttpResponse:
        return await self.harness.response("POST", self.query, SEPARATOR.join(packets).encode())

    async def send(self, *packets: str) -> None:
        response = await self.post(*packets)
        assert (response.status, response.body) == (200, b"ok")

    async def join(self, namespace: str = "/") -> PollingClient:
        await self.send("40" if namespace == "/" else f"40{namespace},")
        assert (await self.poll()).startswith("40")
        return self

    async def status(self) -> int:
        """What a further POST gets: 400 when the session is over."""
        return (await self.post("6")).status

    def probe(self) -> FakeClient:
        client = self.harness.client()
        client.open(f"/socket.io/?EIO=4&transport=websocket&sid={self.sid}")
        return client

"""Stock clients against the viewer endpoint.

JavaScript's and both of python-socketio, on every transport.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import socketio as stock
from endpoint import serving
from slow_proxy import slow_proxy
from stock_clients import NUMBERS, in_javascript

from statecast.broadcast.broadcaster import Broadcaster
from statecast.model import Event
from statecast.realtime.hub import Hub
from statecast.settings import Settings
from statecast.stores import open_store
from tests.fakes.open_readers import open_readers
from tests.fakes.saying import say

UPGRADES = int(os.environ.get("TEST_STATECAST_UPGRADES", "100"))
"""Sessions upgraded while they are talked to; more by the environment."""
AT_ONCE = 20
"""All that they say at the same time stays below what the application lets wait."""
TRANSPORTS = {"default": None, "polling": ["polling"], "websocket": ["websocket"]}


class Counting:
    """A hub that counts towards every viewer as soon as it connects, and remembers what each
    counted itself.
    """

    def __init__(self, **settings: Any) -> None:
        limits = {"viewer_rate_limit": 10_000_000, "connections_per_address": 1_000_000, **settings}
        self.settings = Settings(store="memory:", **limits)
        self.store = open_store("memory:")
        self.broadcaster = Broadcaster(self.store, self.settings, clock=lambda: 0)
        self.hub = Hub(
            self.broadcaster, self.settings, readers=open_readers(), namespaces=["/test"]
        )
        self.counted: dict[str, list[int]] = {}
        self.left: queue.Queue[str] = queue.Queue()
        self.tasks: set[asyncio.Task[None]] = set()
        for event, handler in [
            ("connect", self.connect),
            ("count", self.count),
            ("echo", self.echo),
            ("disconnect", self.disconnect),
        ]:
            self.hub.on(event, handler)

    async def connect(self, sid: str, auth: Any) -> None:
        self.counted[sid] = []
        say(self.hub, sid, "auth", auth)
        task = asyncio.get_running_loop().create_task(self._count_towards(sid))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _count_towards(self, sid: str) -> None:
        for number in range(NUMBERS):
            say(self.hub, sid, "number", number)
            await asyncio.sleep(0.004)

    async def count(self, sid: str, number: int) -> int:
        self.counted[sid].append(number)
        return number

    async def echo(self, sid: str, *arguments: Any) -> Any:
        return arguments

    async def disconnect(self, sid: str, reason: str) -> None:
        self.left.put(reason)


@pytest.fixture
def counting() -> Counting:
    return Counting(ping_interval=0.5, ping_timeout=20)


@contextmanager
def on_the_way(address: str, way: str) -> Iterator[str]:
    """The address to connect to.

    The server's own, or that of a proxy before it that makes crumbs of everything.
    """
    if way == "straight":
        yield address
        return
    with slow_proxy(address) as (proxy_address, proxy):
        yield proxy_address
        assert proxy.slices > 100


@pytest.mark.parametrize("way", ["straight", "in crumbs"])
@pytest.mark.parametrize("transports", TRANSPORTS)
def test_the_javascript_client(node: Any, counting: Counting, transports: str, way: str) -> None:
    # when a client with these transports connects, counts, is counted towards, and leaves
    with (
        serving(counting.hub, counting.broadcaster, counting.settings) as server,
        on_the_way(server, way) as address,
    ):
        (said,) = in_javascript(node, address, transports, 1)
        reason = counting.left.get(timeout=10)

    # then all of it came, once and in order, over the transport it should
    assert said["error"] is None
    assert said["auth"] == {"token": "abc"}
    assert said["bytes"] == [0, 1, 255]
    assert said["heard"] == said["acknowledged"] == list(range(NUMBERS))
    assert said["transport"] == ("polling" if transports == "polling" else "websocket")
    assert said["upgrades"] == (1 if transports == "default" else 0)
    assert list(counting.counted.values()) == [list(range(NUMBERS))]
    assert reason == "client namespace disconnect"
    assert counting.hub.viewers == 0


def test_upgrades_under_load_lose_and_double_nothing(node: Any, counting: Counting) -> None:
    # given sessions that are talked to from their first moment, and talk themselves
    with serving(counting.hub, counting.broadcaster, counting.settings) as address:
        all_said: list[dict[str, Any]] = []
        while len(all_said) < UPGRADES:
            all_said += in_javascript(
                node, address, "default", min(AT_ONCE, UPGRADES - len(all_said))
            )

    # then all were upgraded, and each side heard the other whole and in order
    assert [said["error"] for said in all_said] == [None] * UPGRADES
    assert [said["transport"] for said in all_said] == ["websocket"] * UPGRADES
    for said in all_said:
        assert said["heard"] == said["acknowledged"] == list(range(NUMBERS))
    assert list(counting.counted.values()) == [list(range(NUMBERS))] * UPGRADES
    assert counting.hub.dropped.total == 0
    assert counting.hub.viewers == 0


@contextmanager
def closing(client: stock.Client) -> Iterator[stock.Client]:
    try:
        yield client
    finally:
        client.disconnect()


@pytest.mark.parametrize("way", ["straight", "in crumbs"])
@pytest.mark.parametrize("transports", TRANSPORTS.values(), ids=TRANSPORTS)
def test_the_python_client(counting: Counting, transports: list[str] | None, way: str) -> None:
    heard: list[int] = []
    complete = threading.Event()
    elsewhere: queue.Queue[Any] = queue.Queue()

    def take(number: int) -> None:
        heard.append(number)
        if len(heard) == NUMBERS:
            complete.set()

    with (
        serving(counting.hub, counting.broadcaster, counting.settings) as server,
        on_the_way(server, way) as address,
        closing(stock.Client()) as client,
    ):
        client.on("number", take)
        client.on("message", elsewhere.put, namespace="/test")
        client.connect(
            address, transports=transports, namespaces=["/", "/test"], auth={"token": "abc"}
        )
        assert client.transport() == ("polling" if transports == ["polling"] else "websocket")

        # it counts and is counted towards
        assert [client.call("count", number, timeout=20) for number in range(20)] == list(range(20))
        assert complete.wait(20)
        assert heard == list(range(NUMBERS))
        assert list(counting.counted.values()) == [list(range(20))]

        # bytes go both ways, and what is emitted to another namespace arrives there
        assert client.call("echo", ("a", b"\x00" * 40_000), timeout=20) == ("a", b"\x00" * 40_000)
        assert counting.hub.loop is not None
        data = json.dumps(["☁" * 50_000]).encode()
        counting.hub.publish(Event("/test", "message", data))
        assert elsewhere.get(timeout=20) == "☁" * 50_000

        client.disconnect()
        if transports != [
            "polling"
        ]:  # (there it may leave without a word, when it is just posting another)
            assert counting.left.get(timeout=20) in (
                "client namespace disconnect",
                "transport close",
            )


@pytest.mark.parametrize("transports", TRANSPORTS.values(), ids=TRANSPORTS)
def test_a_client_that_sends_too_fast_loses_nothing(transports: list[str] | None) -> None:
    # given a server that reads a thousand messages a second of each viewer, after a burst of 200
    counting = Counting(viewer_rate_limit=60_000)
    left: list[str] = []
    answers: queue.Queue[int] = queue.Queue()
    with (
        serving(counting.hub, counting.broadcaster, counting.settings) as address,
        closing(stock.Client(reconnection=False)) as client,
    ):
        client.on("disconnect", lambda reason: left.append(reason))
        client.connect(address, transports=transports)
        # when a client sends more than that at once
        for number in range(700):
            client.emit("count", number, callback=answers.put)
        # then all are handled, in order, and acknowledged, and it stays. This client calls its
        # callbacks on a thread for each packet, so it shows them in any order.
        assert sorted(answers.get(timeout=30) for _ in range(700)) == list(range(700))
        assert list(counting.counted.values()) == [list(range(700))]
        assert left == []


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # its aiohttp leaves a connection behind
@pytest.mark.parametrize("way", ["straight", "in crumbs"])
@pytest.mark.parametrize("transports", TRANSPORTS.values(), ids=TRANSPORTS)
def test_the_python_client_on_asyncio(
    counting: Counting, transports: list[str] | None, way: str
) -> None:
    async def story(address: str) -> None:
        client = stock.AsyncClient()
        heard: list[int] = []
        complete = asyncio.Event()

        async def take(number: int) -> None:
            heard.append(number)
            if len(heard) == NUMBERS:
                complete.set()

        client.on("number", take)
        await client.connect(address, transports=transports, auth={"token": "abc"})
        assert client.transport() == ("polling" if transports == ["polling"] else "websocket")
        assert [await client.call("count", number, timeout=20) for number in range(20)] == list(
            range(20)
        )
        await asyncio.wait_for(complete.wait(), 20)
        assert heard == list(range(NUMBERS))
        assert await client.call("echo", b"\x00\xff", timeout=20) == b"\x00\xff"
        await client.disconnect()

    with (
        serving(counting.hub, counting.broadcaster, counting.settings) as server,
        on_the_way(server, way) as address,
    ):
        asyncio.run(story(address))
        if transports != ["polling"]:
            assert counting.left.get(timeout=20) in (
                "client namespace disconnect",
                "transport close",
            )
    gc.collect()

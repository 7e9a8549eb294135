"""The feed of docs/design/growth.md, measured: `make bench ARGS=feed`.

A store of the benchmark's own gives every change an offset. A publisher asks it what has changed
since the last offset that the stream has, and publishes that into a JetStream of three replicas.
Followers at the hub, and at a leaf node that mirrors the stream, take it from there. Then servers
are killed, one after the other, and at the end every follower must hold what the store holds.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from benchmarks import nats_servers
from benchmarks.nats_servers import EDGE, HUB, NatsNetwork
from benchmarks.processes import BenchmarkError, Process, python
from benchmarks.report import Row

STREAM, MIRROR = "states", "states-here"
LAST_ID, EXPECTED_ID = "Nats-Msg-Id", "Nats-Expected-Last-Msg-Id"
SLICE = 500
"""Changes that one question to the store brings, and that are published at once."""
TICK = 0.02
HEAD = 0.25
"""Seconds between two heads."""
PADDING = "x" * 150
"""Makes a state as long as that of the other benchmarks: 239 bytes."""
SETTLE = 60.0
"""Seconds after which followers that are not at the head are a failure."""


class Changes:
    """The store of the benchmark: the newest state of each device, by offset."""

    def __init__(self) -> None:
        self.offset = 0
        self._latest: dict[str, tuple[int, str]] = {}
        """In the order of offsets: a device that changes goes to the end."""
        self.changed = asyncio.Event()

    def commit(self, device: str) -> None:
        self.offset += 1
        text = f"{self.offset:09} {PADDING}"
        body = {"device": device, "offset": self.offset, "state": text, "at": time.monotonic()}
        self._latest.pop(device, None)
        self._latest[device] = self.offset, json.dumps(body)
        self.changed.set()

    def since(self, offset: int) -> list[tuple[int, str, str]]:
        """The question: offset, device and body of what has changed, at most SLICE of them."""
        newer: list[tuple[int, str, str]] = []
        for device, (at, body) in reversed(self._latest.items()):
            if at <= offset:
                break
            newer.append((at, device, body))
        return newer[::-1][:SLICE]

    def states(self) -> dict[str, str]:
        return {device: json.loads(body)["state"] for device, (_, body) in self._latest.items()}


class Publisher:
    """What one serving process of the hub does, as long as it has the lease."""

    def __init__(self, network: NatsNetwork, changes: Changes) -> None:
        self.network = network
        self.changes = changes
        self.published = 0
        """The offset of the last message that the stream has confirmed."""
        self.refused = 0
        """Publishes that failed, or that the stream refused because its end was another."""

    async def run(self, client: Any) -> None:
        self.stream = client.jetstream(timeout=0.5)

        async def answer(message: Any) -> None:
            found = self.changes.since(int(message.data))
            await message.respond(f"[{','.join(body for _, _, body in found)}]".encode())

        await client.subscribe("ask", cb=answer)
        head = asyncio.create_task(self._say_head(client))
        try:
            while True:
                await self._publish_what_changed()
        finally:
            head.cancel()

    async def _say_head(self, client: Any) -> None:
        import nats

        while True:
            with suppress(nats.errors.Error, OSError):
                await client.publish("head", str(self.changes.offset).encode())
            await asyncio.sleep(HEAD)

    async def _publish_what_changed(self) -> None:
        import nats

        new = self.changes.since(self.published)
        if not new:
            self.changes.changed.clear()
            await self.changes.changed.wait()
            await asyncio.sleep(TICK)
            return
        try:
            await self._publish(new)
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError):
            self.refused += 1
            with suppress(nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError):
                self.published = await self.last_of_stream()
            await asyncio.sleep(0.1)

    async def _publish(self, new: list[tuple[int, str, str]]) -> None:
        """Each message names the one before it; the stream refuses what does not continue it.

        So a process that has lost the lease writes nothing, and nothing is written twice.
        """
        futures = []
        before = self.published
        for offset, device, body in new:
            headers = {LAST_ID: str(offset)} | ({EXPECTED_ID: str(before)} if before else {})
            futures.append(
                await self.stream.publish_async(
                    f"states.{device}", body.encode(), wait_stall=1, headers=headers
                )
            )
            before = offset
        async with asyncio.timeout(1):
            await asyncio.gather(*futures)
        self.published = before

    async def last_of_stream(self) -> int:
        """The offset of its last message, which may have been confirmed or not."""
        info = await self.stream.stream_info(STREAM)
        if not info.state.messages:
            return 0
        message = await self.stream.get_msg(STREAM, info.state.last_seq)
        return int(message.headers[LAST_ID])


async def make_streams(network: NatsNetwork, hub: Any, edge: Any) -> None:
    """The stream at the hub, and its mirror at the edge. Each keeps one message per device."""
    from nats.js import api
    from nats.js.errors import Error

    async def eventually(make: Callable[[], Awaitable[Any]]) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                await make()
                return
            except (Error, TimeoutError) as error:  # the cluster has no leader yet
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"JetStream does not start: {error!r}") from None
                await asyncio.sleep(0.2)

    stream = api.StreamConfig(
        STREAM,
        subjects=["states.*"],
        num_replicas=len(network.hub),
        max_msgs_per_subject=1,
        storage=api.StorageType.FILE,
        duplicate_window=2.0,
    )
    await eventually(lambda: hub.jetstream().add_stream(stream))
    external = api.ExternalStream(api=f"$JS.{HUB}.API")
    mirror = api.StreamConfig(
        MIRROR,
        mirror=api.StreamSource(name=STREAM, external=external),
        max_msgs_per_subject=1,
        storage=api.StorageType.FILE,
    )
    await eventually(lambda: edge.jetstream().add_stream(mirror))


@asynccontextmanager
async def publishing(network: NatsNetwork) -> Any:
    """A publisher with its store, and a client that manages streams."""
    import nats

    async def ignored(error: Exception) -> None:
        """The library repairs it."""

    options: dict[str, Any] = {
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.1,
        "error_cb": ignored,
    }
    hub = await nats.connect([one.address for one in network.hub], **options)
    edge = await nats.connect(network.edge.address, **options)
    changes = Changes()
    publisher = Publisher(network, changes)
    await make_streams(network, hub, edge)
    running = asyncio.create_task(publisher.run(hub))
    try:
        yield publisher, edge
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        for client in (hub, edge):
            await client.close()


class Followers:
    """Processes that follow, at the hub or at the edge."""

    def __init__(self, where: str, process: Process) -> None:
        self.where = where
        self.process = process

    async def report(self, **wanted: bool) -> list[dict[str, Any]]:
        """What they measured so far; with ``measure=True`` they begin again."""
        asked = await asyncio.to_thread(self.process.ask, **wanted)
        found: list[dict[str, Any]] = asked["followers"]
        return found

    async def at(self, offset: int) -> float:
        """Wait until all of them have everything up to there; for how many seconds."""
        began = time.monotonic()
        while time.monotonic() - began < SETTLE:
            if all(one["offset"] >= offset for one in await self.report()):
                return time.monotonic() - began
            await asyncio.sleep(0.02)
        raise BenchmarkError(f"the followers at the {self.where} do not reach offset {offset}")

    async def check(self, states: dict[str, str]) -> None:
        """Raises BenchmarkError unless all hold these states."""

        for held in (await asyncio.to_thread(self.process.ask, states=True))["states"]:
            if held != states:
                raise BenchmarkError(f"a follower at the {self.where} does not hold the store")


@contextmanager
def following(network: NatsNetwork, where: str, count: int = 1) -> Iterator[Followers]:
    if where == HUB:
        address, stream = network.hub[0].address, STREAM
    else:
        address, stream = network.edge.address, MIRROR
    with python("benchmarks.feed_follower", address, stream, str(count)) as process:
        yield Followers(where, process)


def rows(quick: bool) -> list[Row]:
    """Raises BenchmarkError without nats-server or nats-py, and for a follower that is wrong."""
    try:
        import nats  # noqa: F401
    except ImportError:
        raise BenchmarkError("It needs nats-py, which `make bench` installs.") from None
    with nats_servers.running() as network:
        return asyncio.run(measured(network, quick))


async def measured(network: NatsNetwork, quick: bool) -> list[Row]:
    found: list[Row] = []
    async with publishing(network) as (publisher, edge):
        with following(network, HUB) as near, following(network, EDGE) as far:
            found += await rate(network, publisher, near, far, 2_000)
            found += await delays(publisher, near, far, 3 if quick else 20)
            found += await many_followers(network, publisher, edge, 3 if quick else 15)
            if not quick:
                found += await rate(network, publisher, near, far, 20_000)
            found += await start(network, publisher)
            found += await faults(network, publisher, near, far)
            for followers in (near, far):
                await followers.check(publisher.changes.states())
    return found


async def rate(
    network: NatsNetwork, publisher: Publisher, near: Followers, far: Followers, devices: int
) -> list[Row]:
    """As fast as one publisher can."""
    before = [one.cpu_seconds() for one in network.servers]
    began = time.monotonic()
    for number in range(devices):
        publisher.changes.commit(f"device{number}")
    while publisher.published < publisher.changes.offset:
        await asyncio.sleep(0.005)
    took = time.monotonic() - began
    behind = await far.at(publisher.changes.offset)
    await near.at(publisher.changes.offset)
    used = [one.cpu_seconds() - past for one, past in zip(network.servers, before)]
    hub, edge = sum(used[:-1]) / devices * 1e6, used[-1] / devices * 1e6
    return [
        Row(
            f"feed: {devices:,} states into three replicas, confirmed",
            devices / took,
            "states/s",
            note=f"one publisher in Python; CPU of the three servers {hub:.0f} µs a state, "
            f"of the leaf node {edge:.0f} µs; the edge had all of them {behind:.2f} s later",
        )
    ]


async def paced(publisher: Publisher, seconds: float, per_second: int) -> None:
    """Changes of random devices, at even intervals."""
    known = list(publisher.changes.states())
    chance = random.Random(1)
    began = time.monotonic()
    for number in range(int(seconds * per_second)):
        publisher.changes.commit(chance.choice(known))
        due = began + (number + 1) / per_second
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def delays(
    publisher: Publisher, near: Followers, far: Followers, seconds: float
) -> list[Row]:
    for followers in (near, far):
        await followers.report(measure=True)
    await paced(publisher, seconds, 100)
    found = []
    for followers in (near, far):
        await followers.at(publisher.changes.offset)
        (one,) = await followers.report()
        found.append(
            Row(
                f"feed: from commit to a follower at the {followers.where}, 100 changes/s, median",
                one["p50"],
                "ms",
                note=f"p99 {one['p99']:.1f} ms; up to {TICK * 1e3:.0f} ms of it is the tick",
            )
        )
    return found


async def many_followers(
    network: NatsNetwork, publisher: Publisher, edge: Any, seconds: float
) -> list[Row]:
    """The link to the edge carries each state once, however many follow there."""
    count = 20
    with following(network, EDGE, count) as followers:
        await followers.at(publisher.changes.offset)
        before, cpu = await link_bytes(network), network.edge.cpu_seconds()
        await paced(publisher, seconds, 100)
        await followers.at(publisher.changes.offset)
        carried = await link_bytes(network) - before
        used = network.edge.cpu_seconds() - cpu
        await followers.check(publisher.changes.states())
    changes = int(seconds * 100)
    return [
        Row(
            f"feed: bytes to the edge for one state, {count} followers there",
            carried / changes,
            "bytes",
            note=f"CPU of the leaf node {used / changes / count * 1e6:.1f} µs per delivery; "
            f"it holds {network.edge.resident_megabytes():.0f} MB",
        )
    ]


async def link_bytes(network: NatsNetwork) -> int:
    """What the leaf node has received from the hub so far, by its own count."""
    import urllib.request

    def ask() -> int:
        address = f"http://127.0.0.1:{network.edge.monitor}/leafz"
        with urllib.request.urlopen(address, timeout=10) as response:
            return sum(int(one["in_bytes"]) for one in json.load(response)["leafs"])

    return await asyncio.to_thread(ask)


async def start(network: NatsNetwork, publisher: Publisher) -> list[Row]:
    began = time.monotonic()
    with following(network, EDGE) as new:
        await new.at(publisher.changes.offset)
        took = time.monotonic() - began
        await new.check(publisher.changes.states())
    devices = len(publisher.changes.states())
    return [Row(f"feed: a new follower has {devices:,} devices", took, "s", note="of the edge")]


async def faults(
    network: NatsNetwork, publisher: Publisher, near: Followers, far: Followers
) -> list[Row]:
    """Each is a kill -9; the servers start again after the pause that stands beside it."""

    async def leader() -> list[nats_servers.NatsServer]:
        info = await publisher.stream.stream_info(STREAM)
        return [network.named(info.cluster.leader)]

    async def other() -> list[nats_servers.NatsServer]:
        (leading,) = await leader()
        return [next(one for one in network.hub[1:] if one is not leading)]

    async def majority() -> list[nats_servers.NatsServer]:
        (leading,) = await leader()
        return [leading, *[one for one in network.hub[1:] if one is not leading]][:2]

    async def leaf() -> list[nats_servers.NatsServer]:
        return [network.edge]

    async def all_of_them() -> list[nats_servers.NatsServer]:
        return network.hub

    found = []
    for what, victims, away in (
        ("a server without the stream's lead", other, 2.0),
        ("the server with the stream's lead", leader, 2.0),
        ("the leaf node", leaf, 2.0),
        ("two of three servers", majority, 8.0),
        ("all three servers", all_of_them, 2.0),
    ):
        asked = [(await followers.report(measure=True))[0]["asked"] for followers in (near, far)]
        killed = await victims()
        talking = asyncio.create_task(paced(publisher, away + 6.0, 100))
        await asyncio.sleep(1)
        for one in killed:
            one.kill()
        await asyncio.sleep(away)
        for one in killed:
            one.start()
        await talking
        notes = []
        longest = 0.0
        for followers, before in ((near, asked[0]), (far, asked[1])):
            await followers.at(publisher.changes.offset)
            (one,) = await followers.report()
            longest = max(longest, one["pause"])
            questions = one["asked"] - before
            notes.append(f"{followers.where} {one['pause']:.1f} s, {questions} questions")
            await followers.check(publisher.changes.states())
        found.append(
            Row(
                f"feed: longest pause, {what} killed, started again after {away:.0f} s",
                longest,
                "s",
                note="; ".join(notes),
            )
        )
    return found

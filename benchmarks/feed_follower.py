"""A serving process at the edge, as far as its feed goes: ``python -m benchmarks.feed_follower``.

It follows the stream of states, and answers each line on standard input with what it has. It does
by hand what docs/design/growth.md describes:

1. It begins with the last state of every device, then takes what comes, in the order of offsets.
2. It compares the numbers of the stream. A gap or a silence is a lost feed: it asks the stream from
   the number that it has.
3. It compares its offset with the head, which comes beside the stream. If the stream does not
   bring what the head promises, it asks a process that has the store.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Any

import nats
from nats.js import api
from nats.js.errors import Error as StreamError

SILENCE = 0.8
"""Seconds without message and heartbeat after which the feed is lost."""
HEARTBEAT = 0.25
BEHIND = 1.0
"""Seconds for which the head may be ahead of what the stream brought."""


class Follower:
    """What one process knows: the newest state of each device, and how far it is."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.states: dict[str, str] = {}
        self.offset = 0
        self.number = 0
        """The stream's number of the last message that was taken."""
        self.brought = 0
        """The offset of that message."""
        self.resumed = 0
        self.asked = 0
        self.delays: list[float] = []
        """From commit to here, in ms; the clock is the machine's."""
        self.longest_pause = 0.0
        self._moved_at = time.monotonic()
        self._heads: deque[tuple[float, int]] = deque()
        """What the store had, and when that was said, newest last."""

    async def run(self, address: str) -> None:
        """Follow for ever, over everything that may break."""
        client = await nats.connect(
            address,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,
            error_cb=ignored,
        )
        await client.subscribe("head", cb=self._on_head)
        asking = asyncio.create_task(self._ask_when_behind(client))
        while not asking.done():
            with suppress(nats.errors.Error, StreamError, TimeoutError, OSError):
                await self._follow(client)
            await asyncio.sleep(0.05)
        await asking

    async def _follow(self, client: nats.NATS) -> None:
        """Until the feed is lost."""
        stream = client.jetstream(timeout=0.5)
        info = await stream.stream_info(self.stream)
        if self.number > info.state.last_seq:
            self.number = 0  # the stream lost its end: its numbers mean nothing any more
        settings = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.ALL,  # the last of every device: it keeps no more
            ack_policy=api.AckPolicy.NONE,
            idle_heartbeat=HEARTBEAT,
            flow_control=True,
            max_deliver=1,
            mem_storage=True,
            num_replicas=1,
            deliver_subject=client.new_inbox(),
            inactive_threshold=10.0,
        )
        if self.number:
            settings.deliver_policy = api.DeliverPolicy.BY_START_SEQUENCE
            settings.opt_start_seq = self.number + 1
            self.resumed += 1
        assert settings.deliver_subject
        incoming = await client.subscribe(settings.deliver_subject)
        try:
            await stream.add_consumer(self.stream, settings)
            await self._take_all(client, incoming)
        finally:
            with suppress(nats.errors.Error):
                await incoming.unsubscribe()

    async def _take_all(self, client: nats.NATS, incoming: Any) -> None:
        """Raises TimeoutError when nothing comes.

        Returns at a gap, and when heartbeats come but not what the head promises: a consumer that
        was made while the stream had no leader may stay like that for ever (seen with 2.9.10).
        """
        expected = 1
        while True:
            message = await incoming.next_msg(SILENCE)
            if not message.data:  # a heartbeat, or a request of the flow control
                if message.reply:
                    await client.publish(message.reply)
                if self.is_behind(self.brought):
                    return
                continue
            numbers = message.metadata.sequence
            if numbers.consumer != expected:
                return
            expected += 1
            self.number = numbers.stream
            change = json.loads(message.data)
            self.brought = change["offset"]
            self.take(change)

    def take(self, change: dict[str, Any]) -> None:
        now = time.monotonic()
        if change["offset"] <= self.offset:
            return  # a repetition: what was published again after a crash
        self.offset = change["offset"]
        self.states[change["device"]] = change["state"]
        self.delays.append((now - change["at"]) * 1e3)
        self.longest_pause = max(self.longest_pause, now - self._moved_at)
        self._moved_at = now

    async def _on_head(self, message: Any) -> None:
        """A process with the store says every half second how far the store is."""
        self._heads.append((time.monotonic(), int(message.data)))

    def is_behind(self, offset: int) -> bool:
        """Whether the store was past this a while ago."""
        before = time.monotonic() - BEHIND
        while len(self._heads) > 1 and self._heads[1][0] < before:
            self._heads.popleft()
        return bool(self._heads) and self._heads[0][0] < before and self._heads[0][1] > offset

    async def _ask_when_behind(self, client: nats.NATS) -> None:
        while True:
            await asyncio.sleep(0.2)
            if not self.is_behind(self.offset):
                continue
            with suppress(nats.errors.Error, TimeoutError, OSError):
                answer = await client.request("ask", str(self.offset).encode(), timeout=2)
                self.asked += 1
                for change in json.loads(answer.data):
                    self.take(change)

    def measure(self) -> None:
        """From now on."""
        self.delays.clear()
        self.longest_pause = 0.0
        self._moved_at = time.monotonic()

    def report(self) -> dict[str, Any]:
        """What there is, and what was measured so far."""
        delays = sorted(self.delays)
        return {
            "offset": self.offset,
            "resumed": self.resumed,
            "asked": self.asked,
            "p50": delays[len(delays) // 2] if delays else 0.0,
            "p99": delays[len(delays) * 99 // 100] if delays else 0.0,
            "pause": self.longest_pause,
        }


async def ignored(error: Exception) -> None:
    """The client library reports here what it repairs by itself."""


async def main(address: str, stream: str, count: int) -> None:
    followers = [Follower(stream) for _ in range(count)]
    running = [asyncio.create_task(one.run(address)) for one in followers]
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        wanted = json.loads(line)
        if wanted.get("states"):
            print(json.dumps({"states": [one.states for one in followers]}), flush=True)
            continue
        if wanted.get("measure"):
            for one in followers:
                one.measure()
        print(json.dumps({"followers": [one.report() for one in followers]}), flush=True)
    for task in running:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

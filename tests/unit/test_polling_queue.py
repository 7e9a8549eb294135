"""Long polling: what may wait between two polls, of one viewer and of all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.model import Event
from statecast.realtime.polling_queue import OVERHEAD, PollingMemory, PollingQueue
from tests.fakes.fake_loop import settle
from tests.fakes.polling_harness import SEPARATOR, PollingClient, PollingHarness

pytestmark = pytest.mark.asyncio(fast_forward=True)


def event(number: int, size: int, **more: Any) -> Event:
    return Event("/", "burst", json.dumps([number, "x" * size]).encode(), **more)


async def fetch(session: PollingClient, events: int) -> list[int]:
    """The numbers of the next so many events."""
    numbers: list[int] = []
    while len(numbers) < events:
        for packet in (await session.poll()).split(SEPARATOR):
            if packet.startswith('42["burst",'):
                numbers.append(json.loads(packet[2:])[1])
    return numbers


# One viewer


@pytest.mark.parametrize(
    ("events", "size"), [(2_000, 1_000), (20, 300_000), (120, 60_000), (10_000, 10), (7, 1_000_000)]
)
async def test_a_burst_between_two_polls_arrives_whole(events: int, size: int) -> None:
    # given a client on long polling that has just been answered
    harness = PollingHarness()
    session = await (await harness.open()).join()
    # when the application emits a burst before its next poll
    written = [harness.hub.emit(event(number, size)) for number in range(events)]
    # then all of it is there for its polls, in order
    assert sum(written) == events
    assert await fetch(session, events) == list(range(events))
    assert harness.sessions.memory.size == 0


@pytest.mark.parametrize("bound", [1_024, 100_000, 1_000_000])
async def test_beyond_its_bound_events_are_dropped_and_states_wait(bound: int) -> None:
    harness = PollingHarness(polling_buffer=bound, viewer_buffer=1_024)
    session = await (await harness.open()).join()
    await session.send('42["watch",{}]')
    written = [harness.hub.emit(event(number, 1_000)) for number in range(2_000)]
    kept = sum(written)
    assert written == [1] * kept + [0] * (2_000 - kept)
    assert bound <= kept * 1_020 <= bound + 2 * 1_030
    # and the viewer is paused for states until it has fetched
    assert harness.broadcaster.calls == ["pause"]
    assert await fetch(session, kept) == list(range(kept))
    assert harness.broadcaster.calls == ["pause", "resume"]
    assert harness.hub.emit(event(0, 10)) == 1


async def test_states_wait_earlier_than_events() -> None:
    harness = PollingHarness(viewer_buffer=1_024)
    session = await (await harness.open()).join()
    await session.send('42["watch",{}]')
    (watching,) = harness.broadcaster.watching
    watching.deliver(OutgoingMessage("states", b"[" + b"1" * 2_000 + b"]"))
    assert harness.broadcaster.calls == ["pause"]
    assert harness.hub.emit(event(1, 1_000)) == 1
    assert await fetch(session, 1) == [1]


# All viewers


async def test_all_viewers_together_hold_a_bound() -> None:
    # given viewers that never poll, and events of their own for each
    harness = PollingHarness(polling_memory=500_000, viewer_buffer=10_000)
    sids = []
    for _ in range(20):
        session = await (await harness.open()).join()
        sids.append(list(harness.hub.open("/").sockets)[-1])
    for number in range(100):
        for sid in sids:
            harness.hub.emit(event(number, 1_000, rooms=(sid,)))
    # then all hold the bound, and beyond it each what a WebSocket's transport may hold
    memory = harness.sessions.memory
    assert 500_000 <= memory.size <= 500_000 + 20 * (10_000 + 1_100)
    # when they end, then nothing is held
    await asyncio.sleep(60)
    assert harness.hub.viewers == 0
    assert memory.size == 0
    assert session.sid not in harness.sessions


async def test_an_event_for_all_counts_once() -> None:
    harness = PollingHarness(polling_memory=500_000, viewer_buffer=1_024)
    sessions = [await (await harness.open()).join() for _ in range(50)]
    written = [harness.hub.emit(event(number, 1_000)) for number in range(50)]
    assert written == [50] * 50
    memory = harness.sessions.memory
    assert 50 * 1_000 < memory.size < 50 * 1_100 + 50 * 50 * OVERHEAD
    assert await fetch(sessions[0], 50) == list(range(50))


async def test_a_viewer_that_asks_without_fetching_is_cut_early_when_all_hold_too_much() -> None:
    limits = {"viewer_buffer": 1_024, "max_states_bytes": 1_024, "viewer_rate_limit": 10_000_000}
    harness = PollingHarness(polling_memory=1_024, **limits)

    async def shout(sid: str) -> str:
        return "a" * 1_000

    harness.hub.on("shout", shout)
    session = await (await harness.open()).join()
    statuses = []
    for _ in range(10):
        statuses.append((await session.post('420["shout"]')).status)
        await settle()
    assert (statuses[0], statuses[-1]) == (200, 400)
    assert harness.sessions.memory.size == 0


# The upgrade


async def test_a_burst_before_an_upgrade_goes_over_to_the_websocket() -> None:
    # given a session that is being upgraded while the application emits 2 MB
    harness = PollingHarness()
    session = await (await harness.open()).join()
    probe = session.probe()
    probe.send("2probe")
    probe.received()
    for number in range(2_000):
        assert harness.hub.emit(event(number, 1_000)) == 1
    # when the client upgrades, and its connection is not as fast as that
    write = probe.transport.write

    def slow(data: bytes) -> None:
        write(data)
        probe.transport.held += len(data)
        if probe.transport.held > probe.transport.high and not probe.connection.paused:
            probe.connection.pause_writing()

    probe.transport.write = slow  # type: ignore[method-assign]
    probe.send("5")
    # then the memory is still counted, and a further answer does not cut the client
    memory = harness.sessions.memory
    assert memory.size > 2_000_000
    probe.send('427["hug"]')
    assert probe.closed_with() is None
    assert "abort" not in probe.transport.calls
    # until it has read
    probe.transport.held = 0
    probe.connection.resume_writing()
    assert memory.size == 0
    probe.lose()
    assert memory.size == 0


# The queue itself


def test_the_queue_counts_bytes_and_memory() -> None:
    memory = PollingMemory(1_000)
    first, second = PollingQueue(memory), PollingQueue(memory)
    shared, own = b"a" * 100, b"b" * 50
    for queue in (first, second):
        queue.put(shared)
    second.put(own)
    second.put(own)
    assert (first.size, second.size) == (100, 200)
    assert memory.size == 100 + 50 + 4 * OVERHEAD
    assert [one.packet for one in second.take(2)] == [shared, own]
    assert (first.size, second.size, memory.size) == (100, 50, 150 + 2 * OVERHEAD)
    assert [one.packet for one in second.take_all()] == [own]
    assert not second
    assert [one.packet for one in first.take()] == [shared]
    assert (memory.size, memory.is_full, memory._waiting) == (0, False, {})
    memory.reserve(1_001)
    assert memory.is_full
    memory.release(1_001)
    assert memory.size == 0

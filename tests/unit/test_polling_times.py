"""Long polling: the heartbeat and the other time limits."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.fakes.polling_harness import PollingHarness

pytestmark = pytest.mark.asyncio(fast_forward=True)


@pytest.mark.parametrize("interval", [0.05, 0.3, 25.0])
async def test_pings_are_answered_and_go_on(interval: float) -> None:
    harness = PollingHarness(ping_interval=interval, ping_timeout=max(interval / 2, 0.05))
    session = await (await harness.open()).join()
    began = asyncio.get_running_loop().time()
    for _ in range(5):
        assert await session.poll() == "2"
        await session.send("3")
    took = asyncio.get_running_loop().time() - began
    assert 5 * interval - 1e-6 <= took <= 5 * (interval + harness.hub.wheel.tick) + 1e-6


async def test_who_polls_but_does_not_answer_a_ping_is_cut() -> None:
    harness = PollingHarness(ping_interval=0.3, ping_timeout=0.2)
    session = await (await harness.open()).join()
    assert await session.poll() == "2"
    assert await session.poll() == "1"
    assert (await session.get().task).status == 400


async def test_who_stops_polling_is_forgotten() -> None:
    harness = PollingHarness()
    session = await (await harness.open()).join()
    await session.send('42["watch",{}]')
    await asyncio.sleep(46)
    assert harness.hub.viewers == 0
    assert harness.broadcaster.watching == []
    assert len(harness.hub.wheel) == 0
    assert not harness.endpoint._open_by_address


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_time_is_up_to_the_moment_although_the_wheel_is_coarse(method: str) -> None:
    # given a session that was silent for exactly as long as it may be
    harness = PollingHarness(ping_interval=0.3, ping_timeout=0.2, connect_timeout=1)
    session = await harness.open()
    await asyncio.sleep(0.501)

    # then its next request comes too late
    response = await harness.response(method, session.query, b"40")
    assert (response.status, json.loads(response.text)["code"]) == (400, 1)


async def test_who_joins_nothing_is_cut_on_polling_too() -> None:
    session = await PollingHarness().open()
    began = asyncio.get_running_loop().time()
    assert await session.poll() == "1"
    assert 10 <= asyncio.get_running_loop().time() - began <= 10.5

"""A request to stop ends the wait of a server's loop, from whatever thread it comes."""

from __future__ import annotations

import asyncio
import threading

import pytest

from statecast.server.shutdown import StopRequest

LONG = 60.0


@pytest.mark.asyncio
async def test_a_request_before_the_wait_ends_it() -> None:
    stop = StopRequest()
    stop.set()
    await stop.wait(LONG)
    assert stop.is_set()


@pytest.mark.asyncio
async def test_a_request_of_another_thread_ends_a_wait() -> None:
    stop = StopRequest()
    waiting = asyncio.ensure_future(stop.wait(LONG))
    await asyncio.sleep(0)  # it waits now
    threading.Thread(target=stop.set).start()
    await waiting
    assert stop.is_set()


@pytest.mark.asyncio
async def test_time_ends_a_wait_without_a_request() -> None:
    stop = StopRequest()
    await stop.wait(0.0)
    assert not stop.is_set()


def test_a_request_after_the_loop_has_ended_is_noted() -> None:
    stop = StopRequest()
    asyncio.run(stop.wait(0.0))
    stop.set()
    assert stop.is_set()

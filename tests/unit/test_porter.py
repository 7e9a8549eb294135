"""What all doors share: a viewer's connection stays counted until it is lost."""

from __future__ import annotations

import asyncio
from typing import Any

from statecast.server.connection_limits import ConnectionLimiter
from statecast.server.porter import Porter
from statecast.settings import Settings


def porter(**settings: Any) -> Porter:
    loaded = Settings(**settings)
    return Porter(loaded, ConnectionLimiter(loaded), lambda address, sentence: None)


def test_a_websocket_is_counted_until_it_is_lost() -> None:
    # given a connection that became a WebSocket
    one = porter()
    one.limiter.acquire()
    key = one.limiter.acquire_address("203.0.113.7", 0.0)
    assert one.limiter.total == 1

    # when it is lost, then its place is free
    one.websocket_lost(key)
    assert one.limiter.total == 0
    assert not one.limiter.per_address


def test_it_begins_once_per_loop() -> None:
    one, loop = porter(), asyncio.new_event_loop()
    one.start(loop)
    heads = one.heads
    one.start(loop)
    assert one.heads is heads
    loop.close()

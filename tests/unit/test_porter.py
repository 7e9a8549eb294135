"""What all doors share: a viewer's connection stays counted until it is lost."""

from __future__ import annotations

import asyncio
from typing import Any

from statecast.server.connection_limits import Visitors
from statecast.server.porter import Porter
from statecast.settings import Settings


class Viewer:
    __slots__ = ("lost",)
    address = "the proxy's"

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


def porter(**settings: Any) -> Porter:
    loaded = Settings(**settings)
    return Porter(loaded, Visitors(loaded), lambda address, sentence: None)


def test_a_viewer_is_counted_until_it_is_lost() -> None:
    # given a viewer that took its door's place
    one = porter()
    one.visitors.arrive()
    viewer = one.counted(Viewer)()
    viewer.guest, viewer.key = "203.0.113.7", one.visitors.enter("203.0.113.7", 0.0)
    assert viewer.address == "203.0.113.7"
    assert one.visitors.here == 1

    # when it is lost, then its place is free
    viewer.connection_lost(None)
    assert viewer.lost
    assert one.visitors.here == 0
    assert not one.visitors.open


def test_a_counted_viewer_has_no_dictionary() -> None:
    assert not hasattr(porter().counted(Viewer)(), "__dict__")


def test_it_begins_once_per_loop() -> None:
    one, loop = porter(), asyncio.new_event_loop()
    one.start(loop)
    heads = one.heads
    one.start(loop)
    assert one.heads is heads
    loop.close()

"""A page of the list of all devices, by name."""

from __future__ import annotations

from collections.abc import Sequence

from statecast.access.patterns import EVERYTHING, Patterns, any_covers
from statecast.model import Position, Update, value_class
from statecast.stores.contract import Store


@value_class
class DevicePage:
    """Devices in the order of their names, without gaps."""

    position: Position
    """All that was committed up to here is in the page. The changes after it follow from the
    position of the first page: with them, the pages are complete, however long they took."""
    devices: Sequence[Update]
    damaged: Sequence[str]
    """Devices among these whose rows cannot be read."""
    next: str | None
    """The name after which the following page begins; None: there is none."""


def read_page(store: Store, after: str, limit: int, readable: Patterns = EVERYTHING) -> DevicePage:
    """Up to ``limit`` devices after this name, of those that match one of the patterns."""
    position = store.read_position()  # first: what is committed now may be in the page, too
    found = store.devices(after=after, limit=limit + 1, readable=readable)
    devices = found[:limit]
    last = devices[-1].device if len(found) > limit else None
    damaged = {
        one.device
        for one in store.damaged()
        if one.device and after < one.device and (last is None or one.device <= last)
    }
    return DevicePage(
        position, devices, sorted(one for one in damaged if any_covers(readable, one)), last
    )

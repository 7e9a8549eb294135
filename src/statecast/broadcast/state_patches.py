"""What one tick changed, for viewers that have everything up to the tick before: as patches for
those of protocol 2, and in full for the others.

Rule 1: a patch is the difference between the state that was sent to up-to-date viewers before and
the state now. It is made once, when the first audience needs it.
Rule 2: where no patch fits, or none is shorter, the entry is the full one: a device that is new,
came back or was removed.
Rule 3: a tick compares a bounded number of bytes. A patch takes the loop ten times as long as the
full entry, so in a burst of many devices the others are sent in full.
"""

from __future__ import annotations

from collections.abc import Mapping

from statecast.broadcast import encoding
from statecast.broadcast.latest_states import Entry
from statecast.merge.merge_patch import patch_between
from statecast.model import ShownUpdate
from statecast.settings import Settings

MOST_COMPARED = 100_000
"""Bytes of states that one tick compares: about 2 ms."""


class StatePatches:
    """The entries of one tick. Each is made when the first audience needs it, and kept as long as
    the tick lasts."""

    def __init__(self, before: Mapping[str, ShownUpdate], settings: Settings) -> None:
        """``before``: what the tick replaced."""
        self._before = before
        self._settings = settings
        self._items: dict[str, bytes] = {}
        self._full_items: dict[str, bytes] = {}
        """Both by device."""
        self._room = MOST_COMPARED

    def item(self, entry: Entry) -> bytes:
        """The device in a ``states`` event of protocol 2, as JSON."""
        device = entry.device
        item = self._items.get(device)
        if item is None:
            item = self._items[device] = self._patch(entry) or self.full_item(entry)
        return item

    def full_item(self, entry: Entry) -> bytes:
        """The same for viewers that get no patches."""
        device = entry.device
        item = self._full_items.get(device)
        if item is None:
            item = self._full_items[device] = encoding.item(entry, self._settings)
        return item

    def _patch(self, entry: Entry) -> bytes | None:
        before = self._before.get(entry.device)
        if before is None:
            return None
        old, new = before.state, entry.state
        if old is None or new is None:
            return None
        self._room -= len(new)
        if self._room < 0:
            return None
        patch = patch_between(old, new)
        return patch and encoding.patch_item(before, entry, patch, self._settings)

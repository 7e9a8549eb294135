"""The latest update of every device in memory, ordered by offset, each encoded once.

First states and catch-ups come from here: many returning viewers read nothing from the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from statecast.broadcast import encoding
from statecast.broadcast.subscriptions import Audience
from statecast.model import Update
from statecast.settings import Settings


class Entry:
    """The latest update of a device and its encoding."""

    __slots__ = ("_item", "_settings", "has_deadline", "sighting", "update")

    def __init__(self, update: Update, settings: Settings) -> None:
        self.update = update
        self.sighting = 0
        """The number of the latest sighting; see ``LatestStates``."""
        self.has_deadline = settings.deadline(update) is not None
        self._settings = settings
        self._item: bytes | None = None

    def item(self) -> bytes:
        """The device in a ``states`` event, as JSON."""
        if self._item is None:
            self._item = encoding.item(self.update, self._settings)
        return self._item

    def see(self, seen_at: int, sighting: int) -> None:
        self.sighting = sighting
        self.update = replace(self.update, seen_at=seen_at)
        self._item = None

    def take_back(self, now: int) -> None:
        update = self.update
        if max(update.changed_at, update.arrived_at, update.seen_at or 0) > now:
            self.update = replace(
                update,
                changed_at=min(update.changed_at, now),
                arrived_at=min(update.arrived_at, now),
                seen_at=None if update.seen_at is None else min(update.seen_at, now),
            )
            self._item = None


class LatestStates:
    """All devices of the store, removed ones included until the store forgets them.

    A sighting is a message of a device that made no version: it only shows that the device is
    alive. Sightings are numbered, so that a viewer can get those that it missed.
    """

    def __init__(self, settings: Settings) -> None:
        self.entries: dict[str, Entry] = {}
        """By device, in ascending order of offset."""
        self.sightings = 0
        """The number of the newest sighting."""
        self._settings = settings

    def update(self, updates: Iterable[Update]) -> dict[str, Update]:
        """Take over updates in ascending order of offset, all newer than those that are here.

        Returns what they replace.
        """
        replaced: dict[str, Update] = {}
        for update in updates:
            before = self.entries.pop(update.device, None)
            if before is not None:
                replaced.setdefault(update.device, before.update)
            self.entries[update.device] = Entry(update, self._settings)
        return replaced

    def see(self, device: str, seen_at: int) -> Entry | None:
        """Note a sighting; its entry, or None if nothing changes by it."""
        entry = self.entries.get(device)
        if entry is None or entry.update.seen_at == seen_at:
            return None
        self.sightings += 1
        entry.see(seen_at, self.sightings)
        return entry

    def seen_at(self, device: str) -> int:
        """When a device was last seen: an update may be newer than the sighting."""
        return self.entries[device].update.seen_at or 0

    def take_back(self, now: int) -> None:
        """Take back times that are later than now: the clock was set back.

        What was known by then has happened by then.
        """
        for entry in self.entries.values():
            entry.take_back(now)

    def forget_removed(self, forgotten: int) -> Iterator[str]:
        """Drop the removed devices up to an offset; their names."""
        for device, entry in list(self.entries.items()):
            if entry.update.offset > forgotten:
                break
            if entry.update.state is None:
                del self.entries[device]
                yield device

    def newest_first(self, audience: Audience) -> Iterable[Entry]:
        """The entries that an audience watches, by descending offset."""
        entries = self.entries
        if audience.wide:
            return (
                entry for device, entry in reversed(entries.items()) if audience.matches(device)
            )
        named = (entries[device] for device in audience.exact if device in entries)
        return sorted(named, key=lambda entry: entry.update.offset, reverse=True)

    def present(self, audience: Audience) -> Iterator[str]:
        """The devices of an audience that exist, by descending offset."""
        for entry in self.newest_first(audience):
            if entry.update.state is not None:
                yield entry.update.device

    def sources(self, audience: Audience) -> set[str | None]:
        """The sources through which the devices of an audience report."""
        return {entry.update.source for entry in self.newest_first(audience)}

    def seen_since(self, audience: Audience, sighting: int) -> dict[str, int]:
        """device -> seen_at of the sightings after a number, of devices with a deadline."""
        return {
            entry.update.device: entry.update.seen_at
            for entry in self.newest_first(audience)
            if entry.sighting > sighting and entry.has_deadline and entry.update.seen_at
        }

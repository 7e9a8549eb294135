"""The latest update of every device in memory, ordered by offset, encoded once for all readers.

First states and catch-ups come from here: many returning viewers read nothing from the disk.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from statecast.broadcast import encoding
from statecast.broadcast.sorted_names import SortedNames
from statecast.broadcast.subscriptions import Audience
from statecast.model import ShownUpdate, Update
from statecast.settings import Settings

MIN_GAPS = 1_000
"""Gaps in the order of offsets that are left until more than half of it are gaps."""
LONGEST_LOOK = 8_000
"""Devices that one look at what follows a position goes through: about 2 ms of the loop."""
LOOK_UP_COST = 4
"""To look a device up by its name costs as much as to go through so many in their order."""
MAX_ENCODED = 10_000
"""Entries that are kept encoded. Viewers that catch up at the same time get the same ones."""


class EncodedEntries:
    """The entries that are encoded. An encoding takes 0.4 KB beside the state.

    Policy when full: the oldest encoding is dropped, and made again when somebody asks for it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        """By device; the oldest encoding comes first."""

    def add(self, entry: Entry) -> None:
        self._entries[entry.device] = entry
        if len(self._entries) > MAX_ENCODED:
            _, oldest = self._entries.popitem(last=False)
            oldest.forget_item()

    def discard(self, device: str) -> None:
        """Hold the entry of a device no longer."""
        self._entries.pop(device, None)

    def clear(self) -> None:
        self._entries.clear()


class Entry:
    """The latest update of a device, and its encoding. It has the attributes of ``ShownUpdate``.

    A store may have a hundred thousand devices, so it keeps no more of an update than is shown, and
    the state once: as it was read, or inside the encoding.
    """

    __slots__ = (
        "_encoded",
        "_item",
        "_state",
        "arrived_at",
        "cause",
        "changed_at",
        "commands",
        "device",
        "offset",
        "place",
        "seen_at",
        "sighting",
        "silent_after",
        "source",
        "version",
    )

    def __init__(self, update: Update, encoded: EncodedEntries) -> None:
        self.device = update.device
        self.version = update.version
        self.offset = update.offset
        self.changed_at = changed_at = update.changed_at
        # Equal times are one number in memory.
        self.arrived_at = update.arrived_at if update.arrived_at != changed_at else changed_at
        self.seen_at = update.seen_at if update.seen_at != changed_at else changed_at
        self.cause = update.cause
        self.silent_after = update.silent_after
        self.source = update.source
        self.commands = update.commands
        self.place = -1
        """Where it stands in the order of offsets."""
        self.sighting = 0
        """The number of the latest sighting; see ``LatestStates``."""
        self._encoded = encoded
        self._state: bytes | int | None = update.state
        """The state, or its length inside ``_item``; None: the device was removed."""
        self._item: bytes | None = None

    @property
    def exists(self) -> bool:
        """Whether the device was not removed."""
        return self._state is not None

    @property
    def state(self) -> bytes | None:
        state, item = self._state, self._item
        if type(state) is not int or item is None:
            assert not isinstance(state, int)
            return state
        begin = encoding.state_begins(item)
        return item[begin : begin + state]

    @property
    def has_deadline(self) -> bool:
        """Whether the device is expected to be seen within some time."""
        return self._encoded.settings.deadline(self) is not None

    def item(self) -> bytes:
        """The device in a ``states`` event, as JSON. The encoding is kept for others."""
        if self._item is None:
            # Copied, because orjson makes it in a larger block and gives the rest back. That left
            # 0.3 KB of holes for each of 100,000 devices.
            item = bytes(memoryview(encoding.item(self, self._encoded.settings)))
            if isinstance(self._state, bytes):
                self._state = len(self._state)
            self._item = item
            self._encoded.add(self)
            return item
        return self._item

    def see(self, seen_at: int, sighting: int) -> None:
        self.forget_item()
        self.sighting = sighting
        self.seen_at = seen_at

    def take_back(self, now: int) -> None:
        if max(self.changed_at, self.arrived_at, self.seen_at or 0) > now:
            self.forget_item()
            self.changed_at = min(self.changed_at, now)
            self.arrived_at = min(self.arrived_at, now)
            self.seen_at = None if self.seen_at is None else min(self.seen_at, now)

    def forget_item(self) -> None:
        """Drop the encoding; the next ``item`` makes it again."""
        if self._item is not None:
            self._state, self._item = self.state, None
            self._encoded.discard(self.device)


class LatestStates:
    """All devices of the store, removed ones included until the store forgets them.

    A sighting is a message of a device that made no version: it only shows that the device is
    alive. Sightings are numbered, so that a viewer can get those that it missed.
    """

    def __init__(self, settings: Settings) -> None:
        self.entries: dict[str, Entry] = {}
        """By device."""
        self.sightings = 0
        """The number of the newest sighting."""
        self._names = SortedNames()
        self._encoded = EncodedEntries(settings)
        self._offsets = array("q")
        self._order: list[Entry | None] = []
        """The entries by ascending offset, and parallel to it their offsets. None: a gap, because
        the device has changed since."""

    def update(self, updates: Iterable[Update]) -> dict[str, ShownUpdate]:
        """Take over updates in ascending order of offset, all newer than those that are here.

        Returns what they replace.
        """
        replaced: dict[str, ShownUpdate] = {}
        new: list[str] = []
        for update in updates:
            before = self.entries.get(update.device)
            if before is None:
                new.append(update.device)
            else:
                replaced.setdefault(update.device, before)
                self._order[before.place] = None
                if before._item is not None:
                    self._encoded.discard(update.device)
            entry = self.entries[update.device] = Entry(update, self._encoded)
            entry.place = len(self._order)
            self._order.append(entry)
            self._offsets.append(entry.offset)
        self._names.add(new)
        self._close_gaps()
        return replaced

    def preview(self, updates: Sequence[Update]) -> tuple[dict[str, Entry], dict[str, ShownUpdate]]:
        """The entries of updates that are not taken over yet, and what they will replace."""
        entries = {update.device: Entry(update, self._encoded) for update in updates}
        known = self.entries
        return entries, {device: known[device] for device in entries if device in known}

    def clear(self) -> None:
        self.entries.clear()
        self._names.clear()
        self._encoded.clear()
        self._order.clear()
        del self._offsets[:]

    def _close_gaps(self) -> None:
        if len(self._order) <= 2 * len(self.entries) + MIN_GAPS:
            return
        kept = [entry for entry in self._order if entry is not None]
        for place, entry in enumerate(kept):
            entry.place = place
        self._order, self._offsets = list(kept), array("q", [entry.offset for entry in kept])

    def see(self, device: str, seen_at: int) -> Entry | None:
        """Note a sighting; its entry, or None if nothing changes by it."""
        entry = self.entries.get(device)
        if entry is None or entry.seen_at == seen_at:
            return None
        self.sightings += 1
        entry.see(seen_at, self.sightings)
        return entry

    def seen_at(self, device: str) -> int:
        """When a device was last seen: an update may be newer than the sighting."""
        return self.entries[device].seen_at or 0

    def take_back(self, now: int) -> None:
        """Take back times that are later than now: the clock was set back.

        What was known by then has happened by then.
        """
        for entry in self.entries.values():
            entry.take_back(now)

    def forget_removed(self, forgotten: int) -> list[str]:
        """Drop the removed devices up to an offset; their names."""
        dropped = []
        for entry in self._order[: bisect_right(self._offsets, forgotten)]:
            if entry is not None and not entry.exists:
                self._order[entry.place] = None
                self._encoded.discard(entry.device)
                del self.entries[entry.device]
                dropped.append(entry.device)
        self._names.remove(dropped)
        self._close_gaps()
        return dropped

    def newest_first(self, audience: Audience) -> Iterable[Entry]:
        """The entries that an audience watches, by descending offset."""
        order = self._order
        if self._few(audience, len(order)):
            return reversed(self._by_name(audience))
        return (one for one in reversed(order) if one and audience.matches(one.device))

    def after(self, offset: int, audience: Audience) -> tuple[Iterable[Entry], int | None]:
        """The entries that an audience watches above an offset, by ascending offset.

        A reader that takes some of them does not pay for the others. The second value is the offset
        up to which they go, or None where none is after them: of 100 000 devices an audience may
        watch the last ones, and nothing may hold the loop until they are found.
        """
        order, first = self._order, bisect_right(self._offsets, offset)
        if self._few(audience, len(order) - first):
            return (one for one in self._by_name(audience) if one.offset > offset), None
        end = min(first + LONGEST_LOOK, len(order))
        places = range(first, end)
        found = (one for place in places if (one := order[place]) and audience.matches(one.device))
        return found, self._offsets[end - 1] if end < len(order) else None

    def _few(self, audience: Audience, places: int) -> bool:
        """Whether the devices of an audience are found faster by name than in so many places."""
        if audience.everything:
            return False
        most = places // LOOK_UP_COST
        count = len(audience.exact)
        for prefix in audience.prefixes:
            if count > most:
                break
            count += len(self._names.places(prefix))
        return count <= most

    def _by_name(self, audience: Audience) -> list[Entry]:
        """The entries of an audience, looked up by name, by ascending offset."""
        names = set(audience.exact)
        for prefix in audience.prefixes:
            names.update(self._names.at(self._names.places(prefix)))
        known = (self.entries[name] for name in names if name in self.entries)
        return sorted(known, key=lambda entry: entry.offset)

    def present(self, audience: Audience) -> Iterator[str]:
        """The devices of an audience that exist, by descending offset."""
        for entry in self.newest_first(audience):
            if entry.exists:
                yield entry.device

    def sources(self, audience: Audience) -> set[str | None]:
        """The sources through which the devices of an audience report."""
        return {entry.source for entry in self.newest_first(audience)}

    def seen_since(self, audience: Audience, sighting: int) -> dict[str, int]:
        """device -> seen_at of the sightings after a number, of devices with a deadline."""
        return {
            entry.device: entry.seen_at
            for entry in self.newest_first(audience)
            if entry.sighting > sighting and entry.has_deadline and entry.seen_at
        }

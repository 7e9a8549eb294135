"""How many viewers of one process watch what, by key; and how processes tell each other.

A key is a part of a watch set (see ``Audience.disjoint_keys``), or a room. The keys lie in parts,
by their CRC. A process writes the parts that changed, each as a whole, so the next write puts right
what a lost one left wrong. Pure: no clock, no store.
"""

from __future__ import annotations

import heapq
import json
import zlib
from collections.abc import Callable, Collection, Iterable
from operator import itemgetter
from typing import Any

from statecast.model import Watching
from statecast.stores.changes import WatchPart

PARTS = 64
MAX_PART_BYTES = 65_536
"""Of one part as JSON. Policy when full: the keys with the fewest viewers are left out."""
MAX_NAMES = 100
"""Names that are told of one key and of one device: the first ones in alphabetical order."""


def room_key(namespace: str, room: str) -> str:
    """The key of a room. No device and no pattern has a blank in it."""
    return f"room {namespace} {room}"


def part_of(key: str) -> int:
    return zlib.crc32(key.encode()) % PARTS


class KeyCounts:
    """The keys of one part. A key without viewers is in neither."""

    __slots__ = ("names", "numbers")

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.names: dict[str, dict[str, int]] = {}
        """For each key, how many of its viewers have each name."""

    def encode(self) -> tuple[bytes, int]:
        """The part as JSON, and how many keys it leaves out."""
        names = {key: first_names(of) for key, of in self.names.items()}
        whole = encode(self.numbers, names)
        if len(whole) <= MAX_PART_BYTES:
            return whole, 0
        most = dict(sorted(self.numbers.items(), key=itemgetter(1), reverse=True))
        room, kept = MAX_PART_BYTES, dict[str, int]()
        for key, number in most.items():
            room -= len(encode({key: number}, {key: names[key]} if key in names else {}))
            if room < 0:
                break
            kept[key] = number
        told = {key: of for key, of in names.items() if key in kept}
        return encode(kept, told), len(self.numbers) - len(kept)

    @classmethod
    def decode(cls, data: bytes) -> KeyCounts:
        """What another process has told. What it cannot have told counts as nothing."""
        part = cls()
        try:
            members = json.loads(data)
            part.numbers = {key: int(number) for key, number in members["numbers"].items()}
            part.names = {key: dict.fromkeys(of, 1) for key, of in members["names"].items()}
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            return cls()
        return part

    def entry(self, key: str) -> tuple[int, Any]:
        """What there is to know of a key, to be compared."""
        return self.numbers.get(key, 0), self.names.get(key)


def encode(numbers: dict[str, int], names: dict[str, list[str]]) -> bytes:
    content = {"numbers": numbers, "names": names}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def first_names(names: Iterable[str]) -> list[str]:
    return heapq.nsmallest(MAX_NAMES, names)


class WatchCounts:
    """The counts of one process."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: dict[int, KeyCounts] = {}

    def add(self, key: str, number: int, name: str | None = None) -> None:
        """Count ``number`` viewers more or less, who have this name."""
        part = self.parts.setdefault(part_of(key), KeyCounts())
        change(part.numbers, key, number)
        if name is not None:
            names = part.names.setdefault(key, {})
            change(names, name, number)
            if not names:
                del part.names[key]

    def replace(self, number: int, data: bytes) -> set[str]:
        """Take over a part; the keys that have changed."""
        before = self.parts.get(number) or KeyCounts()
        after = self.parts[number] = KeyCounts.decode(data)
        keys = before.numbers.keys() | after.numbers.keys()
        return {key for key in keys if before.entry(key) != after.entry(key)}

    def keys(self) -> set[str]:
        return {key for part in self.parts.values() for key in part.numbers}


def by_process(parts: Iterable[WatchPart]) -> Collection[WatchCounts]:
    """What each process has written into the store."""
    counts: dict[str, WatchCounts] = {}
    for one in parts:
        counts.setdefault(one.process, WatchCounts()).replace(one.part, one.counts)
    return counts.values()


def change(numbers: dict[str, int], key: str, number: int) -> None:
    """Add to a number; 0 is not kept."""
    after = numbers.get(key, 0) + number
    if after:
        numbers[key] = after
    else:
        numbers.pop(key, None)


def total(counts: Iterable[WatchCounts], keys: Iterable[str]) -> Watching:
    """The sum of several processes, over keys that count no viewer twice."""
    places = [(part_of(key), key) for key in keys]
    number, names = 0, set[str]()
    for of_process in counts:
        for place, key in places:
            part = of_process.parts.get(place)
            if part is not None:
                number += part.numbers.get(key, 0)
                names.update(part.names.get(key, ()))
    return Watching(number, tuple(first_names(names)))


def kept(read: Callable[[Collection[int]], Iterable[WatchPart]], keys: Collection[str]) -> Watching:
    """The same of what all processes have written; ``read`` gives these parts of it."""
    return total(by_process(read({part_of(key) for key in keys})), keys)

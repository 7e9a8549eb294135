"""The names of all devices in their order, so that those under a prefix are found at once."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection

FEW = 16
"""Up to so many names it is faster to insert or remove each of them than to go through all."""


class SortedNames:
    """A sorted list: it costs 8 bytes per device, an index by prefix would cost a set per level."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: list[str] = []

    def add(self, names: Collection[str]) -> None:
        """Take over names that are not here yet."""
        if len(names) <= FEW:
            for name in names:
                insort(self._names, name)
        else:
            self._names.extend(names)
            self._names.sort()  # which goes once through the part that is sorted already

    def remove(self, names: Collection[str]) -> None:
        """Drop names that are here."""
        if len(names) <= FEW:
            for name in names:
                del self._names[bisect_left(self._names, name)]
        else:
            gone = set(names)
            self._names = [name for name in self._names if name not in gone]

    def clear(self) -> None:
        self._names.clear()

    def places(self, prefix: str) -> range:
        """Where the names that begin with a prefix are; it ends with ``/``."""
        after = f"{prefix[:-1]}0"  # 0 comes after /
        return range(bisect_left(self._names, prefix), bisect_left(self._names, after))

    def at(self, places: range) -> list[str]:
        return self._names[places.start : places.stop]

    def __len__(self) -> int:
        return len(self._names)

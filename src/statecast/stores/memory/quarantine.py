"""Messages that could not be applied, by their numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from statecast.model import Quarantined
from statecast.stores import errors


class MemoryQuarantine:
    """The caller has the lock of the store."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: dict[int, Quarantined] = {}
        self._number = 0

    def about(self, device: str | None) -> list[Quarantined]:
        """The rows about one device, or all, in ascending order."""
        return [row for row in self._rows.values() if device is None or row.device == device]

    def row(self, number: int) -> Quarantined:
        """One row. Raises NotFound."""
        if number not in self._rows:
            raise errors.no_quarantine_row(number)
        return self._rows[number]

    def replace(self, row: Quarantined) -> None:
        """Put a row into the place of the one with its number."""
        self._rows[row.number] = row

    def delete(self, number: int) -> None:
        """Delete a row. Raises NotFound."""
        self.row(number)
        del self._rows[number]

    def save(self, rows: Sequence[Quarantined]) -> list[str]:
        """Keep new rows; the sources of those that had to go for them."""
        for row in rows:
            self._number += 1
            self._rows[self._number] = dataclasses.replace(row, number=self._number)
        evicted = []
        while len(self._rows) > self._most:
            evicted.append(self._rows.pop(next(iter(self._rows))).source)
        return evicted

    def forget_device(self, device: str) -> int:
        """Delete what is about a device; how many."""
        found = self.about(device)
        for row in found:
            del self._rows[row.number]
        return len(found)

    def forget_person(self, senders: Mapping[str, str]) -> int:
        """Replace the names of senders; in how many rows."""
        found = [row for row in self._rows.values() if row.sender in senders]
        for row in found:
            self.replace(dataclasses.replace(row, sender=senders[row.sender]))
        return len(found)

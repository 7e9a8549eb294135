"""Devices as this process wrote them last, so that most rows need not be parsed for the next write.

Rule 1: an entry counts only for a row that is equal to the written one in every value, checksum
included. So there is nothing to invalidate: what another process has written, a transaction that
was rolled back and a damaged row differ from the entry, and are parsed as ever.
Rule 2: an entry is never changed. What a commit changes is a new ``DeviceState``.
Rule 3: the entries are bounded by number and bytes; the one that was written longest ago leaves.
"""

from __future__ import annotations

from collections.abc import Sequence

from statecast.merge.apply import DeviceRecord
from statecast.model import Cause, value_class
from statecast.stores.batch import DeviceState
from statecast.stores.clock_watch import Reading
from statecast.stores.sqlite.tables import Row

MAX_DEVICES = 4_096
MAX_BYTES = 2 * 1024 * 1024
"""Of the rows; parsed they take several times as much."""
MAX_STAMPS = 1_024
"""Of a device, by its own upper bound. The tree of an entry still has old stamps, which the row has
not; parsing the row again drops them."""


@value_class
class WrittenDevice:
    """A row as it was written, and what it says."""

    row: Row
    record: DeviceRecord
    cause: Cause
    latest: int
    """No time of it that readers get is later, in ms."""
    size: int


class DeviceCache:
    """Only for transactions that write: they exclude each other."""

    def __init__(self) -> None:
        self._written: dict[int, WrittenDevice] = {}
        """By the key of the row, the oldest first."""
        self._bytes = 0

    def split(
        self, found: Sequence[Row], reading: Reading
    ) -> tuple[dict[str, DeviceState], list[Row]]:
        """The devices that are known, by name, and the rows that have to be examined and parsed."""
        known: dict[str, DeviceState] = {}
        others: list[Row] = []
        for row in found:
            device = self.get(row, reading)
            if device is None:
                others.append(row)
            else:
                known[row[1]] = device
        return known, others

    def get(self, row: Row, reading: Reading) -> DeviceState | None:
        """The device of a row; None if it has to be parsed.

        A row with a time that is later than now is one of these: it is shown with another time.
        """
        known = self._written.get(row[0])
        if known is None or known.row != row or known.latest > reading.latest(row[3]):
            return None
        return DeviceState(known.record, known.cause, row[3], row[5], row[4], row[0], row[13], row)

    def put(self, row: Row, written: DeviceState, now: int) -> None:
        """Keep a device that was just written as this row; no time of it is later than ``now``."""
        self._forget(row[0])
        record = written.record
        if record.stamps.size > MAX_STAMPS:
            return
        size = len(row[5] or b"") + len(row[14]) + len(row[15])
        self._written[row[0]] = WrittenDevice(row, record, written.cause, now, size)
        self._bytes += size
        while len(self._written) > MAX_DEVICES or self._bytes > MAX_BYTES:
            self._forget(next(iter(self._written)))

    def _forget(self, key: int) -> None:
        known = self._written.pop(key, None)
        if known is not None:
            self._bytes -= known.size

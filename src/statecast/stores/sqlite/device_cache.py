"""Devices as this process wrote them last, so that most rows need not be parsed for the next write.

Rule 1: an entry counts only for a row that is equal to the written one in every value, checksum
included. What another process has written, a transaction that was rolled back and a damaged row
differ from the entry, and are parsed as ever.
Rule 2: while nothing else writes, the rows need not even be read. Nothing else has written if the
transactions that use the cache followed each other on one connection, each was committed, SQLite
says that no other connection has written since (``data_version``), and no other transaction of this
process may have written devices. What was written before such a sequence began is read again.
Rule 3: an entry is never changed. What a commit changes is a new ``DeviceState``.
Rule 4: the entries are bounded by number and bytes; the one that was written longest ago leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    sequence: int
    """That of the transactions in which it was written."""


class DeviceCache:
    """Only for transactions that write: they exclude each other."""

    def __init__(self) -> None:
        self._written: dict[str, WrittenDevice] = {}
        """By the name of the device, the oldest first."""
        self._bytes = 0
        self._sequence = 0
        """The number of the present sequence of transactions, see rule 2."""
        self._begun: object = None
        self._committed: object = None
        """What the last transaction began with, if it was committed."""

    def begin(self, state: object) -> None:
        """A transaction begins; ``state`` is that of the last one if nothing else has written."""
        if state != self._committed:
            self._sequence += 1
        self._begun, self._committed = state, None

    def confirm(self) -> None:
        """The transaction is committed."""
        self._committed = self._begun

    def unchanged(
        self, devices: Iterable[str], reading: Reading
    ) -> tuple[dict[str, DeviceState], list[str]]:
        """The devices whose rows are as they were written, and the others; see rule 2."""
        found: dict[str, DeviceState] = {}
        others: list[str] = []
        for name in devices:
            known = self._written.get(name)
            if known is None or known.sequence != self._sequence or is_ahead(known, reading):
                others.append(name)
            else:
                found[name] = self.device_of(known)
        return found, others

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
        known = self._written.get(row[1])
        if known is None or known.row != row or is_ahead(known, reading):
            return None
        return self.device_of(known)

    def device_of(self, known: WrittenDevice) -> DeviceState:
        row = known.row
        return DeviceState(known.record, known.cause, row[3], row[5], row[4], row[0], row[13], row)

    def put(self, row: Row, written: DeviceState, now: int) -> None:
        """Keep a device that was just written as this row; no time of it is later than ``now``."""
        self.forget(row[1])
        record = written.record
        if record.stamps.size > MAX_STAMPS:
            return
        size = len(row[5] or b"") + len(row[14]) + len(row[15])
        self._written[row[1]] = WrittenDevice(row, record, written.cause, now, size, self._sequence)
        self._bytes += size
        while len(self._written) > MAX_DEVICES or self._bytes > MAX_BYTES:
            self.forget(next(iter(self._written)))

    def forget(self, device: str) -> None:
        known = self._written.pop(device, None)
        if known is not None:
            self._bytes -= known.size

    def clear(self) -> None:
        self._written.clear()
        self._bytes = 0


def is_ahead(known: WrittenDevice, reading: Reading) -> bool:
    """Whether a time of the device may be later than now: then it is read with another time."""
    return known.latest > reading.latest(known.row[3])

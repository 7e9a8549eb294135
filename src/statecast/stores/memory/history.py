"""Every visible version, in dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from statecast.model import Cause, HistoryRow
from statecast.stores.batch import NewVersion
from statecast.stores.clock_watch import Reading
from statecast.stores.counters import Counters
from statecast.stores.limits import Limits
from statecast.stores.retention import DAY_MS


class MemoryHistory:
    """The versions of all devices. The callers hold the lock of the store."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, NewVersion]] = {}
        """Device -> offset -> version."""
        self._order: dict[int, str] = {}
        """Offset -> device, oldest first."""

    def save(self, versions: Iterable[NewVersion]) -> None:
        for version in versions:
            device = version.loaded.record.device
            self._versions.setdefault(device, {})[version.offset] = version
            self._order[version.offset] = device

    def rows(self, device: str, reading: Reading) -> list[HistoryRow]:
        """All versions of a device, oldest first, with no time later than now."""
        return [
            replace(
                version.row,
                at=reading.past(version.row.at, version.offset),
                arrived_at=reading.past(version.row.arrived_at, version.offset),
            )
            for version in self._versions.get(device, {}).values()
        ]

    def trim(
        self,
        written: Sequence[NewVersion],
        counters: Counters,
        limits: Limits,
        now: int,
        age_from: int,
    ) -> None:
        """Delete what exceeds the bounds: versions per device, then days, rows and bytes in all.

        Days count from ``age_from``; see ``ClockWatch.age_from``.
        """
        for device in {version.loaded.record.device for version in written}:
            while len(self._versions[device]) > limits.history_versions:
                self._forget(next(iter(self._versions[device])), counters)
        last = self._last_before(age_from - limits.history_days * DAY_MS, now)
        while self._order:
            offset = next(iter(self._order))
            if (
                offset > last
                and counters.history_rows <= limits.history_rows
                and counters.history_bytes <= limits.history_bytes
            ):
                break
            self._forget(offset, counters)

    def _last_before(self, before: float, now: int) -> int:
        """The offset of the last row that was committed before a time in ms; 0: none.

        A row with a time that the clock has not reached is as old as the next row that has a past
        one.
        """
        last = 0
        for offset, device in self._order.items():
            arrived_at = self._versions[device][offset].row.arrived_at
            if before <= arrived_at <= now:
                break
            if arrived_at < before:
                last = offset
        return last

    def forget_device(self, device: str, counters: Counters) -> int:
        offsets = list(self._versions.get(device, ()))
        for offset in offsets:
            self._forget(offset, counters)
        return len(offsets)

    def replace_causes(self, change: Callable[[Cause], Cause]) -> int:
        """``change`` returns the same object where nothing is to be replaced; how many it was."""
        replaced = 0
        for versions in self._versions.values():
            for offset, version in versions.items():
                cause = change(version.row.cause)
                if cause is not version.row.cause:
                    versions[offset] = replace(version, row=replace(version.row, cause=cause))
                    replaced += 1
        return replaced

    def _forget(self, offset: int, counters: Counters) -> None:
        gone = self._versions[self._order.pop(offset)].pop(offset)
        counters.history_rows -= 1
        counters.history_bytes -= gone.size

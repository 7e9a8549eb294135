"""A device as a row, in the order of columns that all stores in databases share.

id, device, version, offset, seen, state, changed_at, seen_at, three columns of the cause,
silent_after, source, removed_at, fields, stamps, arrived_at, clock, commands; what follows is the
store's own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from statecast import strict_json
from statecast.merge.apply import DeviceRecord, Stamps
from statecast.merge.device_clock import DeviceClock
from statecast.model import Update
from statecast.stores import causes
from statecast.stores.batch import DeviceState
from statecast.stores.clock_watch import Reading

Row = tuple[Any, ...]


def update_of(row: Row, reading: Reading) -> Update:
    """The update of a whole row, with no time later than now."""
    _, device, version, offset, seen, state, changed_at, seen_at, source, id_, by = row[:11]
    silent_after, reader, _, fields, _, arrived_at, clock, commands = row[11:19]
    latest = reading.latest(offset)
    if changed_at > latest or arrived_at > latest or (seen_at or 0) > latest:
        changed_at, arrived_at = (reading.past(one, offset) for one in (changed_at, arrived_at))
        seen_at = None if seen_at is None else reading.past(seen_at, offset, seen)
    return Update(
        device,
        version,
        offset,
        state,
        changed_at,
        seen_at,
        causes.cause_of(source, id_, by),
        silent_after,
        None if reader is None else sys.intern(reader),
        FieldTimes(fields, reading, offset),
        arrived_at,
        DeviceClock.load(clock).behind if clock else None,
        None if commands is None else tuple(strict_json.decode_checked(commands)),
    )


class FieldTimes(Mapping[str, int]):
    """The times of a row's fields, with none later than now.

    They are decoded for the first who asks: the change feed reads many rows, and never does.
    """

    __slots__ = ("_offset", "_reading", "_text", "_times")

    def __init__(self, text: bytes, reading: Reading, offset: int) -> None:
        self._text = text
        self._reading = reading
        self._offset = offset
        self._times: dict[str, int] | None = None

    @property
    def decoded(self) -> dict[str, int]:
        if self._times is None:
            times: dict[str, int] = strict_json.decode_checked(self._text)
            if max(times.values(), default=0) > self._reading.latest(self._offset):
                past = self._reading.past
                times = {name: past(time, self._offset) for name, time in times.items()}
            self._times = times
        return self._times

    def __getitem__(self, name: str) -> int:
        return self.decoded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.decoded)

    def __len__(self) -> int:
        return len(self.decoded)


def device_state_of(row: Row, reading: Reading) -> DeviceState:
    """What a commit needs of a whole row."""
    update = update_of((*row[:17], b"", *row[18:]), reading)
    key, seen, removed_at, stamps, clock = row[0], row[4], row[13], row[15], row[17]
    record = DeviceRecord(
        device=update.device,
        version=update.version,
        state=None if update.state is None else strict_json.decode_checked(update.state),
        stamps=Stamps.load(stamps),
        fields=FieldTimes(row[14], reading, update.offset).decoded,
        changed_at=update.changed_at,
        seen_at=update.seen_at,
        silent_after=update.silent_after,
        source=update.source,
        offset=update.offset,
        size=None if update.state is None else len(update.state),
        arrived_at=update.arrived_at,
        clock=DeviceClock.load(clock),
        commands=update.commands,
    )
    return DeviceState(record, update.cause, update.offset, update.state, seen, key, removed_at)


def values_of(loaded: DeviceState) -> Row:
    """The columns after the id."""
    record, silent_after = loaded.record, loaded.record.silent_after
    return (
        record.device,
        record.version,
        loaded.offset,
        loaded.seen,
        loaded.state,
        record.changed_at,
        record.seen_at,
        *causes.columns(loaded.cause),
        None if silent_after is None else float(silent_after),  # as the column keeps it
        record.source,
        loaded.removed_at,
        strict_json.encode_checked(record.fields),
        record.stamps.dump(),
        record.arrived_at,
        record.clock.dump(),
        None if record.commands is None else json.dumps(record.commands),
    )

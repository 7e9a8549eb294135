"""A device as a row, in the order of columns that all stores in databases share.

id, device, version, offset, seen, state, changed_at, seen_at, three columns of the cause,
silent_after, source, removed_at, fields, stamps, arrived_at, clock, commands; what follows is the
store's own.
"""

from __future__ import annotations

import json
import sys
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
    _, device, version, offset, seen, state, changed_at, seen_at, *more = row
    source, id_, by, silent_after, reader, _, fields, _, arrived_at, clock, commands, *_ = more
    times = strict_json.decode_checked(fields)
    if max(changed_at, seen_at or 0, arrived_at, *times.values()) > reading.latest(offset):
        changed_at, arrived_at = (reading.past(one, offset) for one in (changed_at, arrived_at))
        seen_at = None if seen_at is None else reading.past(seen_at, offset, seen)
        times = {name: reading.past(time, offset) for name, time in times.items()}
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
        times,
        arrived_at,
        DeviceClock.load(clock).behind if clock else None,
        None if commands is None else tuple(strict_json.decode_checked(commands)),
    )


def device_state_of(row: Row, reading: Reading) -> DeviceState:
    """What a commit needs of a whole row."""
    update = update_of((*row[:17], b"", *row[18:]), reading)
    key, seen, removed_at, stamps, clock = row[0], row[4], row[13], row[15], row[17]
    record = DeviceRecord(
        device=update.device,
        version=update.version,
        state=None if update.state is None else strict_json.decode_checked(update.state),
        stamps=Stamps.load(stamps),
        fields=update.fields,
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

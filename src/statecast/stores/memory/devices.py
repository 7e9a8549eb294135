"""Devices as a reader gets them."""

from __future__ import annotations

import dataclasses

from statecast.stores.batch import DeviceState
from statecast.stores.clock_watch import Reading


def past(loaded: DeviceState, reading: Reading) -> DeviceState:
    """A device with no time later than now."""
    record, offset, seen_at = loaded.record, loaded.offset, loaded.record.seen_at
    times = (record.changed_at, seen_at or 0, record.arrived_at, *record.fields.values())
    if max(times) <= reading.latest(offset):
        return loaded
    record = dataclasses.replace(
        record,
        changed_at=reading.past(record.changed_at, offset),
        seen_at=None if seen_at is None else reading.past(seen_at, offset, loaded.seen),
        arrived_at=reading.past(record.arrived_at, offset),
        fields={name: reading.past(time, offset) for name, time in record.fields.items()},
    )
    return dataclasses.replace(loaded, record=record)

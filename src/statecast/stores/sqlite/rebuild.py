"""What the history and the checksum still know of a device whose row is damaged.

Rule 1: a state is only called right if it is proven: the checksum fits with it, or the history
has every version since the device was last without any state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import apsw

from statecast import names, strict_json
from statecast.errors import StatecastError
from statecast.merge.apply import DeviceRecord
from statecast.merge.stamps import OLD, Branch, Stamps
from statecast.model import Cause, value_class
from statecast.stores import causes, device_row
from statecast.stores.batch import DeviceState
from statecast.stores.clock_watch import Reading
from statecast.stores.sqlite import history
from statecast.stores.sqlite.devices import DEVICES
from statecast.stores.sqlite.history import HISTORY
from statecast.stores.sqlite.row_reader import Damaged, RowReader
from statecast.stores.sqlite.tables import Row


@value_class
class RebuiltDevice:
    """A device that was put together again."""

    loaded: DeviceState
    complete: bool
    """The state is proven to be the one that the row had. Else it is what the history knows."""
    lost: str
    """What is lost, in half a sentence; empty: nothing."""


@dataclass(slots=True)
class Replayed:
    """The state that the rows of a device's history give."""

    state: dict[str, Any] | None = None
    complete: bool = False
    times: dict[str, int] = field(default_factory=dict)
    last: Row | None = None
    """The newest row of the history."""


def rebuild(
    connection: apsw.Connection, reader: RowReader, damaged: Damaged, reading: Reading
) -> RebuiltDevice:
    """A device from its damaged row and its history. The caller commits it as a new version."""
    found = replay(connection, reader, damaged.row[0])
    for candidate in candidates(damaged.row, found):
        if DEVICES.fits(candidate):
            return RebuiltDevice(device_row.device_state_of(candidate, reading), True, "")
    return from_history(damaged, found)


def replay(connection: apsw.Connection, reader: RowReader, key: int) -> Replayed:
    """Fold the history of a device, oldest first."""
    rest = "WHERE device = ? ORDER BY version"
    whole, damaged = reader.split(connection, HISTORY, rest, (key,), history.content_fault)
    found = Replayed()
    expected = 1
    for row in whole:
        _, _, version, at, change, *_ = row
        if change is None:
            found.state, found.times, found.complete = None, {}, True
        else:
            if version != expected:
                found.complete = False
            if version == 1:
                found.complete = True
            patch = strict_json.decode(change)
            state = merged(found.state or {}, patch)
            times: dict[str, int] = {**found.times, **dict.fromkeys(patch, at)}
            found.times = {name: times[name] for name in state if name in times}
            found.state = state
        expected = version + 1
        found.last = row
    if damaged:
        found.complete = False
    return found


def merged(state: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396, for patches between two versions."""
    after = dict(state)
    for name, value in patch.items():
        before = after.get(name)
        if value is None:
            after.pop(name, None)
        elif isinstance(value, dict) and isinstance(before, dict):
            after[name] = merged(before, value)
        else:
            after[name] = value
    return after


def candidates(row: Row, found: Replayed) -> Iterable[Row]:
    """What the row may have been: itself, with what the newest row of the history tells."""
    if found.last is None:
        return
    offset, _, version, at, _, source, id_, by, _, arrived_at, _ = found.last
    state = None if found.state is None else strict_json.encode(found.state)
    told = {
        "version": version,
        "offset": offset,
        "changed_at": at,
        "arrived_at": at if arrived_at is None else arrived_at,
        "cause_source": source,
        "cause_id": id_,
        "cause_by": by,
    }
    for known in (told, {**told, "state": state}, {"state": state}):
        yield (
            *(known.get(name, value) for name, value in zip(DEVICES.names, row, strict=False)),
            row[-1],
        )


def from_history(damaged: Damaged, found: Replayed) -> RebuiltDevice:
    """The device as far as its history tells. Its stamps are lost: the next message is newer."""
    row = dict(zip(DEVICES.names, damaged.row, strict=False))
    version = row["version"] if is_number(row["version"]) else 0
    if found.last is None:
        offset, at, cause = 0, row["changed_at"], Cause("api", "", "user")
        at = arrived_at = at if is_number(at) else 0
    else:
        offset, _, last, at, _, source, id_, by, _, arrived_at, _ = found.last
        arrived_at = at if arrived_at is None else arrived_at
        cause = causes.cause_of(source, id_, by)
        found.complete = found.complete and version == last
        version = max(last, version if version < last + MAX_MISSED else 0)
    record = DeviceRecord(
        device=damaged.device or "",
        version=version,
        state=found.state,
        stamps=Stamps() if found.state is None else Stamps(Branch(OLD, OLD, {})),
        fields=found.times,
        changed_at=at,
        seen_at=at if cause.by == "device" else None,
        silent_after=None,
        source=cause.source if cause.by == "device" else None,
        offset=offset,
        arrived_at=arrived_at,
    )
    loaded = DeviceState(record, cause, offset, None, key=damaged.row[0])
    lost = "its deadline, what it takes and the order of its late messages"
    if not found.complete:
        lost += ", and fields that its history does not have"
    return RebuiltDevice(loaded, found.complete, lost)


MAX_MISSED = 1_000_000
"""Versions that a history may lack at its end. More mean that the row's version is damaged."""


def is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def is_name(name: str) -> bool:
    """Whether a device may have this name."""
    try:
        return bool(names.check(name))
    except StatecastError:
        return False

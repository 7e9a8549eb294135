"""Step 3, apply: what one change makes of one device. Pure: values in, values out.

Rule 1: the state of a device is its messages folded in the order of their stamps (``stamps``), whatever the
order in which they arrived.
Rule 2: a refused change has changed nothing, and neither has a dropped one but that the device was heard.
Rule 3: a version is what somebody can see: another state, or another deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from statecast import strict_json
from statecast.errors import TooLarge
from statecast.merge.stamps import Stamps, settle
from statecast.model import Change, Stamp

MOST_BYTES = 65_536
"""What a state may have as JSON."""
SEQUENCED = 2**53
"""The time of stamps that are ordered by sequence."""
TIME_BITS = 48
"""Of the time behind a sequence, which decides between two messages of the same sequence."""
YEAR_2020 = 1_577_836_800_000
"""A clock that is behind this has not been set."""

__all__ = ["ApplyResult", "DeviceRecord", "Stamps", "apply", "stamp_of", "standing"]


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """All that is kept of one device between two changes."""

    device: str
    version: int
    state: dict[str, Any] | None
    """None: the device is not there, or not yet."""
    stamps: Stamps
    fields: Mapping[str, int]
    """Per top-level field, when its last change was sent, in ms."""
    changed_at: int
    seen_at: int | None
    silent_after: float | None
    source: str | None
    """The source of the device's own latest message."""
    offset: int = 0
    size: int | None = field(default=None, compare=False)
    """At least as many bytes as the state has as JSON; None: not known."""


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What a change did."""

    record: DeviceRecord
    visible: bool
    """It made a version."""
    patch: dict[str, Any] | None
    """Merge patch from the version before to this one, for the history; None: the device was removed."""
    dropped: bool = False
    """It was below the device's floor."""


def stamp_of(change: Change, sent_at: int, resolution: int, order: int) -> Stamp:
    """Where a change stands. ``resolution`` of the queue's clock in ms: an event cannot be later than its message.

    Where a vendor's sequence is the order, it stands before the time. Such stamps share one time, SEQUENCED, which
    is later than any other; so they never age, as a sequence does not say how old it is.
    """
    time = sent_at
    if change.time is not None and change.time >= YEAR_2020:
        time = min(change.time, sent_at + resolution)
    if change.by_sequence:
        return Stamp(SEQUENCED, (change.sequence << TIME_BITS) + max(time, 0), order)
    return Stamp(time, change.sequence, order)


def standing(stamp: Stamp, before: Stamps) -> Stamp:
    """Where a change stands that has no sequence, at a device that is ordered by one: where that stood when it came.

    Time and sequence cannot be compared (with a later time and an earlier sequence, three messages would make a
    circle). So an edit by hand is newer than all that is known and older than what comes next.
    """
    if stamp.time >= SEQUENCED or before.newest < SEQUENCED:
        return stamp
    return Stamp(SEQUENCED, before.latest.sequence, stamp.order)


def edit_stamp(now: int, order: int, before: DeviceRecord | None) -> Stamp:
    """Where an edit stands: now, but behind nothing that is known of the device.

    Whoever is told that his edit is done shall see it, although a clock, ours or a device's, was once ahead.
    """
    stamp = Stamp(now, 0, order)
    if before is None or stamp >= before.stamps.latest:
        return stamp
    return before.stamps.latest._replace(order=order)


def apply(
    before: DeviceRecord | None,
    change: Change,
    stamp: Stamp,
    *,
    sent_at: int,
    source: str,
    late_message_ms: int,
) -> ApplyResult:
    """Fold a change into what was before. Raises Refused, and then nothing was changed."""
    if before is None:
        before = DeviceRecord(change.device, 0, None, Stamps(), {}, sent_at, None, None, None)
    seen_at, heard_by = before.seen_at, before.source
    if change.by == "device" and (seen_at is None or sent_at >= seen_at):
        seen_at, heard_by = sent_at, source
    stamp = standing(stamp, before.stamps)
    if stamp < before.stamps.floor:
        return ApplyResult(replace(before, seen_at=seen_at, source=heard_by), False, None, True)
    root, state = settle(before.stamps.root, before.state, change, stamp)
    stamps = before.stamps.moved(root, change, stamp, late_message_ms)
    silent_after = before.silent_after
    if before.stamps.sets_deadline(change, stamp):
        silent_after = None if change.kind == "delete" else change.silent_after
    patch = state if before.state is None or state is None else difference(before.state, state)
    if (
        not patch
        and (state is None) is (before.state is None)
        and (state is None or silent_after == before.silent_after)
    ):
        quiet = before.state, before.fields, before.changed_at
        return ApplyResult(
            _record(before, stamps, quiet, seen_at, silent_after, heard_by, before.size),
            False,
            None,
        )
    size = _size(before, patch, state)
    shown = state, _times(before.fields, patch, sent_at), max(before.changed_at, sent_at)
    return ApplyResult(
        _record(before, stamps, shown, seen_at, silent_after, heard_by, size, 1), True, patch
    )


def _record(
    before: DeviceRecord,
    stamps: Stamps,
    shown: tuple[dict[str, Any] | None, Mapping[str, int], int],
    seen_at: int | None,
    silent_after: float | None,
    heard_by: str | None,
    size: int | None,
    versions: int = 0,
) -> DeviceRecord:
    state, fields, changed_at = shown
    version = before.version + versions
    return DeviceRecord(
        before.device,
        version,
        state,
        stamps,
        fields,
        changed_at,
        seen_at,
        silent_after,
        heard_by,
        before.offset,
        size,
    )


def _size(
    before: DeviceRecord, patch: dict[str, Any] | None, state: dict[str, Any] | None
) -> int | None:
    """A bound of the new state's bytes, by its patch; only near the limit the whole state is encoded to know."""
    if state is None or patch is None:
        return None
    if before.size is not None:
        bound = before.size + len(strict_json.encode(patch))
        if bound <= MOST_BYTES:
            return bound
    size = len(strict_json.encode(state))
    if size > MOST_BYTES:
        raise TooLarge(
            f"The state would have {size} bytes as JSON; at most {MOST_BYTES} are allowed."
        )
    return size


def _times(
    before: Mapping[str, int], patch: Mapping[str, Any] | None, sent_at: int
) -> Mapping[str, int]:
    """When each top-level field last changed; a late message does not set a field's time back."""
    if patch is None:
        return {}
    times = dict(before)
    for name, value in patch.items():
        if value is None:
            times.pop(name, None)
        else:
            times[name] = max(times.get(name, 0), sent_at)
    return times


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that makes ``new`` of ``old``; empty: they are the same."""
    patch: dict[str, Any] = {}
    for name in old:
        if name not in new:
            patch[name] = None
    for name, value in new.items():
        held = old.get(name)
        if held is value:
            continue
        if type(held) is dict and type(value) is dict:
            inner = difference(held, value)
            if inner:
                patch[name] = inner
        elif not same(held, value):
            patch[name] = value
    return patch


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: to Python ``true`` equals 1, to a page it does not."""
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return {kind, type(other)} == {int, float} and bool(one == other)
    if kind is list:
        return len(one) == len(other) and all(map(same, one, other))
    if kind is dict:
        return one.keys() == other.keys() and all(
            same(value, other[name]) for name, value in one.items()
        )
    return bool(one == other)

"""Step 3, apply: what one change does to one device. Pure: values in, values out.

Rule 1: the state of a device is its messages folded in the order of their stamps (see ``stamps``),
whatever the order in which they arrived.
Rule 2: a refused change changes nothing. A dropped change only updates when the device was seen.
Rule 3: a version is what a viewer can see: another state, another deadline, or other commands that
the device takes.
Rule 4: nothing here reads a clock. The reading of the committing process is an argument, ``now``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from statecast import strict_json
from statecast.errors import TooLarge
from statecast.merge.device_clock import NO_CLOCK, YEAR_2020, DeviceClock
from statecast.merge.merge_patch import difference
from statecast.merge.stamps import DOUBT_MS, SEQUENCED, TIME_BITS, Stamps, fold
from statecast.model import Change, Stamp, value_class

MAX_STATE_BYTES = 65_536
"""Of a state as JSON."""

__all__ = [
    "ApplyResult",
    "DeviceRecord",
    "Stamps",
    "apply",
    "edit_stamp",
    "stamp_of",
]


@value_class
class DeviceRecord:
    """Everything that is kept of one device between two changes."""

    device: str
    version: int
    state: dict[str, Any] | None
    """None: the device was removed, or is not there yet."""
    stamps: Stamps
    fields: Mapping[str, int]
    """Per top-level field, when its last change happened, in ms."""
    changed_at: int
    """When the newest version happened, in ms."""
    seen_at: int | None
    """When the device's own newest message happened, in ms."""
    silent_after: float | None
    """The deadline in seconds."""
    source: str | None
    """The source of the device's own newest message."""
    offset: int = 0
    size: int | None = field(default=None, compare=False)
    """An upper bound of the state's bytes as JSON; None: not known."""
    arrived_at: int = 0
    """When the newest version was committed, in ms."""
    clock: DeviceClock = NO_CLOCK
    """How far the device's clock is off."""
    commands: tuple[str, ...] | None = None
    """What the device takes; None: it never said."""


@value_class
class ApplyResult:
    """What one change did."""

    record: DeviceRecord
    visible: bool
    """The change made a version."""
    patch: dict[str, Any] | None
    """Merge patch from the version before to this one, for the history; None: device removed."""
    dropped: bool = False
    """The change was below the device's floor."""
    encoded: bytes | None = None
    """The patch of a version as JSON."""


def stamp_of(change: Change, sent_at: int, resolution: int, order: int, now: int) -> Stamp:
    """The stamp of a change. ``sent_at`` and the queue clock's ``resolution`` are in ms.

    An event cannot be later than its message, apart from the resolution of the queue's clock, and
    neither can be later than now. With ``by_sequence`` the sequence decides before the time: such
    stamps share one time, SEQUENCED, which is later than any other. They never age, because a
    sequence does not tell its age.
    """
    time = sent_at
    if change.time is not None and change.time >= YEAR_2020:
        time = min(change.time, sent_at + resolution)
    time = min(time, now)
    if change.by_sequence:
        return Stamp(SEQUENCED, (change.sequence << TIME_BITS) + max(time, 0), order)
    return Stamp(time, change.sequence, order)


def comparable(stamp: Stamp, before: Stamps, now: int) -> Stamp:
    """The stamp as it compares with those of the device.

    At a device that is ordered by sequence, a change without a sequence is newer than all that is
    known, and older than the next sequence. Time and sequence cannot be compared: with a later time
    and an earlier sequence, three messages could form a circle.
    """
    if stamp.time >= SEQUENCED or before.newest < SEQUENCED:
        return stamp
    return before.newest_trusted(now)._replace(order=stamp.order)


def edit_stamp(now: int, order: int, before: DeviceRecord | None) -> Stamp:
    """The stamp of an edit: now (in ms), but newer than everything that is known of the device.

    A confirmed edit must be visible. Doubtful stamps do not count: against them the edit wins
    because it arrives later, and what arrives after it must win too.
    """
    stamp = Stamp(now, 0, order)
    if before is None:
        return stamp
    newest = before.stamps.newest_trusted(now)
    return stamp if stamp >= newest else newest._replace(order=order)


def apply(
    before: DeviceRecord | None,
    change: Change,
    stamp: Stamp,
    *,
    at: int,
    now: int,
    source: str,
    late_message_ms: int,
    clock: DeviceClock = NO_CLOCK,
) -> ApplyResult:
    """Fold one change into a device. Raises Refused; then nothing has changed.

    ``at`` is when it happened, ``clock`` what is known of the device's clock. ``now`` is the
    reading of the clock of the committing process, which decides what is doubtful; see
    ``stamps.is_older``.
    """
    if before is None:
        before = DeviceRecord(change.device, 0, None, Stamps(), {}, at, None, None, None)
    limit = now + DOUBT_MS
    seen_at, seen_by = _last_seen(before, change, at, source, now)
    stamp = comparable(stamp, before.stamps, now)
    if before.stamps.is_too_old(stamp, limit):
        record = replace(before, seen_at=seen_at, source=seen_by, clock=clock)
        return ApplyResult(record, False, None, dropped=True)
    root, state = fold(before.stamps.root, before.state, change, stamp, limit)
    stamps = before.stamps.advanced(root, change, stamp, limit, late_message_ms)
    silent_after, commands = before.silent_after, before.commands
    if change.kind == "delete" or change.silent_after is not None or change.commands is not None:
        if before.stamps.sets_deadline(change, stamp, limit):
            silent_after = None if change.kind == "delete" else change.silent_after
        if before.stamps.sets_commands(change, stamp, limit):
            commands = None if change.kind == "delete" else change.commands
    patch = state if before.state is None or state is None else difference(before.state, state)
    if not patch and not _differs(before, state, silent_after, commands):
        record = replace(
            before,
            stamps=stamps,
            seen_at=seen_at,
            silent_after=silent_after,
            source=seen_by,
            clock=clock,
            commands=commands,
        )
        return ApplyResult(record, False, None)
    encoded = None if patch is None else strict_json.encode_checked(patch)
    record = DeviceRecord(
        before.device,
        before.version + 1,
        state,
        stamps,
        _field_times(before.fields, patch, at),
        at,
        seen_at,
        silent_after,
        seen_by,
        before.offset,
        None if encoded is None else _size(before, len(encoded), state),
        now,
        clock,
        commands,
    )
    return ApplyResult(record, True, patch, encoded=encoded)


def _last_seen(
    before: DeviceRecord, change: Change, at: int, source: str, now: int
) -> tuple[int | None, str | None]:
    """When the device was last seen, and by which source: only its own messages count.

    A time that is later than now is from a clock that was ahead.
    """
    known = before.seen_at
    if change.by == "device" and (known is None or at >= known or known > now):
        return at, source
    return known, before.source


def _differs(
    before: DeviceRecord,
    state: dict[str, Any] | None,
    silent_after: float | None,
    commands: tuple[str, ...] | None,
) -> bool:
    """Whether a viewer can see the change although no field changed."""
    if (state is None) is not (before.state is None):
        return True
    known = (before.silent_after, before.commands)
    return state is not None and (silent_after, commands) != known


def _size(before: DeviceRecord, patch: int, state: dict[str, Any] | None) -> int | None:
    """An upper bound of the new state's bytes. Raises TooLarge.

    The size of the patch is enough for it. Only near the limit the whole state is encoded.
    """
    if state is None:
        return None
    if before.size is not None:
        bound = before.size + patch
        if bound <= MAX_STATE_BYTES:
            return bound
    size = len(strict_json.encode_checked(state))
    if size > MAX_STATE_BYTES:
        raise TooLarge(
            f"The state would have {size} bytes as JSON; at most {MAX_STATE_BYTES} are allowed."
        )
    return size


def _field_times(
    before: Mapping[str, int], patch: Mapping[str, Any] | None, at: int
) -> Mapping[str, int]:
    """When each top-level field last changed."""
    if patch is None:
        return {}
    times = dict(before)
    for name, value in patch.items():
        if value is None:
            times.pop(name, None)
        else:
            times[name] = at
    return times

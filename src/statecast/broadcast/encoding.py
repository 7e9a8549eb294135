"""The JSON of updates for viewers and REST clients."""

from __future__ import annotations

from typing import Any

from statecast import strict_json, timestamps
from statecast.merge.merge_patch import difference
from statecast.model import Cause, HistoryRow, ShownUpdate
from statecast.settings import Settings

STATE = b'"state":'


def item(update: ShownUpdate, settings: Settings | None = None) -> bytes:
    """One entry of a ``states`` event. The bytes of the state are not encoded again.

    With ``settings``, a device that has no deadline of its own gets theirs, and one that never said
    what it takes is said to take what they name. ``commands`` is there if it is known.
    """
    state, seen_at = update.state, update.seen_at
    found: dict[str, Any] = {
        "device": update.device,
        "version": update.version,
        "offset": update.offset,
        "state": None if state is None else strict_json.encoded(state),
        "changed_at": timestamps.iso(update.changed_at),
        "arrived_at": timestamps.iso(update.arrived_at),
        "seen_at": None if seen_at is None else timestamps.iso(seen_at),
        "cause": cause(update.cause),
        "silent_after": update.silent_after if settings is None else settings.deadline(update),
        "source": update.source,
    }
    commands = update.commands if settings is None else settings.commands_of(update)
    if commands is not None:
        found["commands"] = commands
    return strict_json.encode_checked(found)


def state_begins(item: bytes) -> int:
    """Where the state is in an ``item``. No name of a device has a quotation mark in it."""
    return item.index(STATE) + len(STATE)


def patch_item(before: ShownUpdate, update: ShownUpdate, patch: bytes, settings: Settings) -> bytes:
    """An entry for viewers that have the version ``before``: its state and its cause as patches.

    Nothing else leans on what a viewer has: a deadline or a source can change without a version.
    Instead, ``arrived_at`` is told as the ``delay`` in ms, if there is any; ``seen_at`` is left out
    if it is ``changed_at``, ``source`` if it is that of the cause, and ``silent_after`` if there is
    none.
    """
    changed_at, seen_at = update.changed_at, update.seen_at
    found: dict[str, Any] = {
        "device": update.device,
        "from": before.version,
        "version": update.version,
        "offset": update.offset,
        "patch": strict_json.encoded(patch),
        "changed_at": timestamps.iso(changed_at),
    }
    if update.arrived_at != changed_at:
        found["delay"] = update.arrived_at - changed_at
    if seen_at != changed_at:
        found["seen_at"] = None if seen_at is None else timestamps.iso(seen_at)
    found["cause"] = difference(cause(before.cause), cause(update.cause))
    if update.source != update.cause.source:
        found["source"] = update.source
    silent_after, commands = settings.deadline(update), settings.commands_of(update)
    if silent_after is not None:
        found["silent_after"] = silent_after
    if commands is not None:
        found["commands"] = commands
    return strict_json.encode_checked(found)


def cause(of: Cause) -> dict[str, str]:
    found = {"source": of.source, "id": of.id, "by": of.by}
    if of.sender and (sender := of.public_sender):
        found["sender"] = sender
    return found


def history_row(row: HistoryRow) -> list[Any]:
    """One row of a history: when it happened, version, merge patch (None: device removed), cause,
    when it arrived."""
    change = None if row.change is None else strict_json.decode(row.change)
    arrived_at = timestamps.iso(row.arrived_at)
    return [timestamps.iso(row.at), row.version, change, cause(row.cause), arrived_at]


def states(
    epoch: str | None,
    offset: int,
    items: list[bytes],
    *,
    scope: str = "",
    reset: bool = False,
    complete: bool = False,
) -> bytes:
    """The argument of a ``states`` event; ``offset`` is the reader's position once it has it.

    ``scope``: for which devices the position holds. Without ``epoch`` both are those of the
    reader's position before.
    """
    found: dict[str, Any] = {} if epoch is None else {"epoch": epoch}
    found["offset"] = offset
    if scope:
        found["scope"] = scope
    found["states"] = strict_json.encoded(b"[%b]" % b",".join(items))
    if reset:
        found["reset"] = True
    if complete:
        found["complete"] = True
    return strict_json.encode_checked(found)


def gone(device: str) -> bytes:
    """The entry for a device that the reader may see no longer."""
    return strict_json.encode_checked({"device": device, "state": None, "gone": "forbidden"})


def seen(times: dict[str, int]) -> bytes:
    """The argument of a ``seen`` event."""
    return strict_json.encode_checked(
        {device: timestamps.iso(time) for device, time in times.items()}
    )

"""The JSON of updates for viewers and REST clients."""

from __future__ import annotations

from typing import Any

from statecast import strict_json, timestamps
from statecast.model import Cause, HistoryRow, Update
from statecast.settings import Settings


def item(update: Update, settings: Settings | None = None) -> bytes:
    """One entry of a ``states`` event. The bytes of the state are not encoded again.

    With ``settings``, a device that has no deadline of its own gets theirs, and one that never said
    what it takes is said to take what they name. ``commands`` is there if it is known.
    """
    seen = _time(update.seen_at)
    head = {"device": update.device, "version": update.version, "offset": update.offset}
    tail: dict[str, Any] = {
        "changed_at": timestamps.iso(update.changed_at),
        "arrived_at": timestamps.iso(update.arrived_at),
        "seen_at": seen,
        "cause": cause(update.cause),
        "silent_after": update.silent_after if settings is None else settings.deadline(update),
        "source": update.source,
    }
    commands = update.commands if settings is None else settings.commands_of(update)
    if commands is not None:
        tail["commands"] = commands
    state = b"null" if update.state is None else update.state
    return (
        strict_json.encode(head)[:-1] + b',"state":' + state + b"," + strict_json.encode(tail)[1:]
    )


def cause(of: Cause) -> dict[str, str]:
    found = {"source": of.source, "id": of.id, "by": str(of.by)}
    return found | {"sender": of.public_sender} if of.public_sender else found


def history_row(row: HistoryRow) -> list[Any]:
    """One row of a history: when it happened, version, merge patch (None: device removed), cause,
    when it arrived."""
    change = None if row.change is None else strict_json.decode(row.change)
    arrived_at = timestamps.iso(row.arrived_at)
    return [timestamps.iso(row.at), row.version, change, cause(row.cause), arrived_at]


def states(
    epoch: str,
    offset: int,
    items: list[bytes],
    *,
    scope: str = "",
    reset: bool = False,
    complete: bool = False,
) -> bytes:
    """The argument of a ``states`` event; ``offset`` is the reader's position once it has it.

    ``scope``: for which devices the position holds.
    """
    flags = (b',"reset":true' if reset else b"") + (b',"complete":true' if complete else b"")
    held = b',"scope":"%b"' % scope.encode() if scope else b""
    head = b'{"epoch":%b,"offset":%d%b,"states":[' % (strict_json.encode(epoch), offset, held)
    return head + b",".join(items) + b"]" + flags + b"}"


def gone(device: str) -> bytes:
    """The entry for a device that the reader may see no longer."""
    return strict_json.encode({"device": device, "state": None, "gone": "forbidden"})


def seen(times: dict[str, int]) -> bytes:
    """The argument of a ``seen`` event."""
    return strict_json.encode({device: timestamps.iso(time) for device, time in times.items()})


def _time(time: int | None) -> str | None:
    return None if time is None else timestamps.iso(time)

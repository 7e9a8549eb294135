"""The definition of a state: all messages in the order of their stamps, merged like RFC 7396.

Where a clock was wrong there is no such order. Then each field is decided by itself, message by
message, and the oracle is given the readings of the clock. Tests compare ``merge`` and the stores
with it. It shares no code with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from statecast.model import Change, Stamp


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def folded(stamped: Iterable[tuple[Stamp, Change]]) -> Any:
    """The state of one device, from all its changes; None if the device does not exist."""
    state: Any = None
    for _, change in sorted(stamped, key=lambda pair: pair[0]):
        patch = None if change.kind == "delete" else dict(change.state)
        state = merged({} if change.kind == "replace" else state, patch)
    return state


DOUBT_MS = 2_000


def decided(arrived: Iterable[tuple[int, Stamp, Change]]) -> dict[str, Any]:
    """The fields of one device, by (clock reading, stamp, change) in the order of their commits.

    No field is an object, and no stamp is ordered by a sequence. Whether a device without fields is
    there is left open.
    """
    changes = list(arrived)
    names = {name for _, _, change in changes for name in change.state}
    held: dict[str, tuple[Stamp, Any]] = {}
    for now, stamp, change in changes:
        for name in change.state if change.kind == "merge" else names:
            if name not in held or not _keeps(held[name][0], stamp, now):
                held[name] = stamp, None if change.kind == "delete" else change.state.get(name)
    return {name: value for name, (_, value) in held.items() if value is not None}


def _keeps(held: Stamp, new: Stamp, now: int) -> bool:
    """Whether what a stored stamp decided remains. One that the clock has not reached is doubtful:
    against it the order of first arrival decides, unless both are."""
    if new.time <= now + DOUBT_MS < held.time:
        return held.order > new.order
    return held > new

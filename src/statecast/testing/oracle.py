"""The definition of a state: all messages in the order of their stamps, merged like RFC 7396.

Tests compare ``merge`` and the stores with it. It shares no code with them.
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

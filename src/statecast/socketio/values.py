"""Values of programs for Flask-SocketIO that the hub takes in one form only: rooms, and keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from statecast.errors import Malformed

KEYS = {True: "true", False: "false", None: "null"}
"""As Python's own encoder writes them."""


def room_name(room: Any) -> Any:
    """The name of a room: texts as they are, numbers and UUIDs as text. Raises TypeError."""
    if room is None or isinstance(room, str):
        return room
    if isinstance(room, (int, UUID)):
        return str(room)
    raise TypeError(
        f"A room is named by text, a number or a UUID here, not by {room!r}; use its str()."
    )


def room_names(rooms: Any) -> Any:
    """The same for one room or several."""
    if isinstance(rooms, (list, tuple, set, frozenset)):
        return [room_name(room) for room in rooms]
    return room_name(rooms)


def sending(call: Callable[..., Any], values: tuple[Any, ...]) -> Any:
    """Make a call that encodes ``values``; only where it refuses them, with names made text.

    Raises TypeError for values that JSON cannot carry.
    """
    try:
        return call(*values)
    except Malformed as error:
        refused = str(error)
    except RecursionError:
        raise TypeError("The value is nested too deeply, or contains itself.") from None
    try:
        return call(*with_text_keys(values))
    except (Malformed, RecursionError):
        raise TypeError(refused) from None


def with_text_keys(value: Any) -> Any:
    """A copy in which the names in objects are text, as Python's own JSON encoder makes it."""
    if isinstance(value, Mapping):
        return {text_key(key): with_text_keys(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [with_text_keys(member) for member in value]
    return value


def text_key(key: Any) -> Any:
    if key is None or isinstance(key, bool):
        return KEYS[key]
    return str(key) if isinstance(key, (int, float)) else key

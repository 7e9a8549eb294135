"""JSON pointers (RFC 6901): where in a message something lies, like ``/data/deviceId``."""

from __future__ import annotations

import re
from typing import Any, Final

from statecast.names import quoted

Pointer = tuple[str, ...]
"""The parts, unescaped; none of them: the whole message."""


class Missing:
    """There is nothing at this place; ``null`` is something."""


MISSING: Final = Missing()

_STRAY = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)


def parse(text: str) -> Pointer:
    """Read a pointer. Raises ValueError with the end of a sentence, as the checks of settings do."""
    if text and not text.startswith("/"):
        raise ValueError(
            f"must be a JSON pointer, which begins with a /, like /data/state; it is {quoted(text)}"
        )
    if _STRAY.search(text):
        raise ValueError(
            f"must be a JSON pointer, in which ~ is written ~0 and / inside a name ~1; it is {quoted(text)}"
        )
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def find(value: Any, pointer: Pointer) -> Any:
    """What lies there, or MISSING."""
    for part in pointer:
        if type(value) is dict:
            value = value.get(part, MISSING)
        elif type(value) is list and _INDEX.fullmatch(part) and int(part) < len(value):
            value = value[int(part)]
        else:
            return MISSING
    return value


def written(pointer: Pointer) -> str:
    """For a sentence."""
    return (
        "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in pointer)
        or "the whole message"
    )

"""JSON pointers (RFC 6901), like ``/data/deviceId``: the place of a value in a message."""

from __future__ import annotations

import re
from typing import Any, Final

from statecast.decoders import encodings
from statecast.names import quoted

Pointer = tuple[str, ...]
"""The unescaped parts. The empty pointer is the whole message."""


class Missing:
    """The type of ``MISSING``: the message has no value at this place. ``null`` is a value."""


MISSING: Final = Missing()

_STRAY = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)


def parse(text: str) -> Pointer:
    """Parse a pointer. Raises ValueError with the end of a sentence, like checks of settings."""
    if text and not text.startswith("/"):
        raise ValueError(
            f"must be a JSON pointer, which begins with a /, like /data/state; it is {quoted(text)}"
        )
    if _STRAY.search(text):
        raise ValueError(
            "must be a JSON pointer, in which ~ is written ~0 and / inside a name ~1; "
            f"it is {quoted(text)}"
        )
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def find(value: Any, pointer: Pointer) -> Any:
    """The value at a pointer, or MISSING. A pointer leads into JSON that is given as text.

    Raises Malformed for a text that holds broken JSON.
    """
    for part in pointer:
        if type(value) is dict:
            value = value.get(part, MISSING)
        elif type(value) is list and _INDEX.fullmatch(part) and int(part) < len(value):
            value = value[int(part)]
        elif type(value) is str and type(found := encodings.inner(value)) is not str:
            value = find(found, (part,))
        else:
            return MISSING
    return value


def text_of(pointer: Pointer) -> str:
    """The pointer as it is written, for a sentence."""
    return (
        "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in pointer)
        or "the whole message"
    )

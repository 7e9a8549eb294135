"""Which device a message may be about that cannot be read: for people who look for it.

It is a guess, and nothing but a hint depends on it. A message that names its device is never read
by this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from statecast.decoders.options import DecodeOptions
from statecast.decoders.pointers import MISSING, Pointer, find
from statecast.errors import Refused

PLACES: tuple[Pointer, ...] = (
    ("device",),
    ("data", "systemProperties", "iothub-connection-device-id"),
    ("data", "deviceId"),
    ("deviceId",),
    ("subject",),
    ("source",),
)
"""Where the schemas that we read name a device, the most exact place first."""
MAX_TEXT = 1_048_576
"""Bytes that are searched for a name."""
_NAMED = re.compile(r'"device"\s*:\s*"([^"\\]{1,128})"')
"""In a text that is not JSON: cut off, too deep, or with a NaN."""


def guess(text: bytes, options: DecodeOptions) -> str | None:
    """The device that the message may be about; None if nothing says so."""
    readable = text[:MAX_TEXT].decode("utf-8", "replace")
    payload = _payload(readable)
    for named in _names(readable, payload):
        try:
            return options.device_of(payload, named)
        except Refused:  # no name of a device: perhaps the next place has one
            continue
    return None


def _payload(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _names(text: str, payload: Any) -> Iterator[Any]:
    if isinstance(payload, dict):
        found = (_at(payload, place) for place in PLACES)
        yield from (name.removeprefix("devices/") for name in found if isinstance(name, str))
    elif payload is None and (match := _NAMED.search(text)):
        yield match[1]
    yield MISSING  # then the pointer or the default of the source counts


def _at(payload: Any, place: Pointer) -> Any:
    try:
        return find(payload, place)
    except Refused:  # the pointer leads into a text that is broken JSON
        return MISSING

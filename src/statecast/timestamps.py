"""Times in ms since 1970-01-01 UTC: the clock, text on the wire, and durations for people."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol, runtime_checkable

from statecast.errors import Malformed
from statecast.names import quoted

_UPTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?", re.ASCII)
_ZONE = re.compile(r" ?(?:[Zz]|UTC|GMT|([+-])(\d\d)(?::?(\d\d))?)", re.ASCII)
"""An offset may lack its colon (``+0000``) or its minutes, as in ISO 8601."""


def now() -> int:
    """The current time by the machine's clock, in ms."""
    return time.time_ns() // 1_000_000


def uptime() -> int:
    """Milliseconds since the machine started, by a clock that cannot be set.

    It goes on while the machine is suspended: ``CLOCK_BOOTTIME`` of Linux does, and
    ``CLOCK_MONOTONIC`` of macOS.
    """
    return time.clock_gettime_ns(_UPTIME) // 1_000_000


@runtime_checkable
class Steady(Protocol):
    """A clock that brings an uptime of its own, as those of tests do."""

    def __call__(self) -> int:
        """The time in ms."""

    def uptime(self) -> int:
        """Milliseconds by a clock that cannot be set."""


def iso(ms: int) -> str:
    """``2026-01-31T12:00:00.123Z``, as on the wire."""
    seconds, fraction = divmod(ms, 1000)
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]}.{fraction:03}Z"


def parse_time(text: str) -> int:
    """Read a time as in RFC 3339, with a zone or an offset, in ms. Raises Malformed.

    A blank may stand for the ``T``. What is below a millisecond is cut off.
    """
    found = _LOCAL.match(text)
    zone = found and _ZONE.fullmatch(text, found.end())
    try:
        if not found or not zone:
            raise ValueError
        wall, fraction = _wall(found)
        return ms_of(wall.replace(tzinfo=UTC) - _offset(zone[1], zone[2], zone[3])) + fraction
    except (ValueError, OverflowError):
        raise Malformed(
            f"{quoted(text)} is not a time; write it like 2026-01-31T12:00:00Z."
        ) from None


def parse_local(text: str) -> tuple[datetime, int] | None:
    """A time without a zone, as a clock on the wall shows it, and its ms; None for other text."""
    found = _LOCAL.fullmatch(text)
    try:
        return _wall(found) if found else None
    except (ValueError, OverflowError):
        return None


def ms_of(moment: datetime) -> int:
    """A time with a zone, in ms; its fraction of a second is left out."""
    return (moment - _EPOCH) // timedelta(seconds=1) * 1000


def _wall(found: re.Match[str]) -> tuple[datetime, int]:
    """What a clock shows, and the ms. Raises ValueError, OverflowError."""
    year, month, day, hour, minute = (int(part) for part in found.group(1, 2, 3, 4, 5))
    second = int(found[6] or 0)
    leap = second == 60 and minute == 59
    wall = datetime(year, month, day, hour, minute, second - leap) + timedelta(seconds=leap)
    return wall, int((found[7] or "")[:3].ljust(3, "0"))


def _offset(sign: str | None, hours: str | None, minutes: str | None) -> timedelta:
    if sign is None or hours is None:
        return timedelta()
    if int(hours) > 23 or int(minutes or 0) > 59:
        raise ValueError
    offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
    return -offset if sign == "-" else offset


def duration(milliseconds: int, day: str = "d") -> str:
    """``12 s``, ``5 min``, ``3 h``, ``2 d``; ``day`` is the unit of days. Never negative."""
    seconds = max(0, milliseconds) // 1000
    for size, unit in ((86_400, day), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"

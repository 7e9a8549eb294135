"""Times in ms since 1970-01-01 UTC: the clock, text on the wire, and durations for people."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

from statecast.errors import Malformed
from statecast.names import quoted

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)


def now() -> int:
    """The current time by the machine's clock, in ms."""
    return time.time_ns() // 1_000_000


def iso(ms: int) -> str:
    """``2026-01-31T12:00:00.123Z``, as on the wire."""
    seconds, fraction = divmod(ms, 1000)
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]}.{fraction:03}Z"


def parse_time(text: str) -> int:
    """Read a time as in RFC 3339, with ``Z`` or an offset, in ms. Raises Malformed.

    What is below a millisecond is cut off.
    """
    found = _TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        year, month, day, hour, minute, second = (
            int(part) for part in found.group(1, 2, 3, 4, 5, 6)
        )
        leap = second == 60 and minute == 59
        moment = datetime(year, month, day, hour, minute, second - leap, tzinfo=UTC)
        moment += timedelta(seconds=leap) - _offset(found[8], found[9], found[10])
    except (ValueError, OverflowError):
        raise Malformed(
            f"{quoted(text)} is not a time; write it like 2026-01-31T12:00:00Z."
        ) from None
    fraction = int((found[7] or "")[:3].ljust(3, "0"))
    return (moment - _EPOCH) // timedelta(seconds=1) * 1000 + fraction


def _offset(sign: str | None, hours: str | None, minutes: str | None) -> timedelta:
    if sign is None or hours is None or minutes is None:
        return timedelta()
    if int(hours) > 23 or int(minutes) > 59:
        raise ValueError
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return -offset if sign == "-" else offset


def duration(milliseconds: int, day: str = "d") -> str:
    """``12 s``, ``5 min``, ``3 h``, ``2 d``; ``day`` is the unit of days. Never negative."""
    seconds = max(0, milliseconds) // 1000
    for size, unit in ((86_400, day), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"

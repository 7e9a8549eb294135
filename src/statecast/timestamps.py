"""Times in ms since 1970-01-01 UTC: the clock, text on the wire, and durations for people."""

from __future__ import annotations

import functools
import re
import time
from datetime import UTC, date, datetime, timedelta
from typing import Protocol, runtime_checkable

from statecast.errors import Malformed
from statecast.names import quoted

_UPTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_FIRST, _END = (1 - _EPOCH_DAY) * 86_400, (date.max.toordinal() + 1 - _EPOCH_DAY) * 86_400
"""Seconds since 1970 of the years 1 to 9999."""
_SHOWN = r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
_LOCAL = re.compile(_SHOWN, re.ASCII)
_TIME = re.compile(_SHOWN + r" ?(?:[Zz]|UTC|GMT|([+-])(\d\d)(?::?(\d\d))?)", re.ASCII)
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


@functools.lru_cache(1_024)
def iso(ms: int) -> str:
    """``2026-01-31T12:00:00.123Z``, as on the wire. The changes of one commit have few times."""
    seconds, fraction = divmod(ms, 1000)
    return f"{_iso_of_second(seconds)}.{fraction:03}Z"


@functools.lru_cache(256)
def _iso_of_second(seconds: int) -> str:
    """Most times that are shown are of the last seconds."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def parse_time(text: str) -> int:
    """Read a time as in RFC 3339, with a zone or an offset, in ms. Raises Malformed.

    A blank may stand for the ``T``. What is below a millisecond is cut off.
    """
    found = _TIME.fullmatch(text)
    try:
        if not found:
            raise ValueError
        *wall, sign, hours, minutes = found.groups()
        shown, fraction = _wall(*wall)
        seconds = shown - _offset(sign, hours, minutes)
        if not _FIRST <= seconds < _END:
            raise ValueError
        return seconds * 1000 + fraction
    except ValueError:
        raise Malformed(
            f"{quoted(text)} is not a time; write it like 2026-01-31T12:00:00Z."
        ) from None


def parse_local(text: str) -> tuple[datetime, int] | None:
    """A time without a zone, as a clock on the wall shows it, and its ms; None for other text."""
    found = _LOCAL.fullmatch(text)
    try:
        if not found:
            return None
        seconds, fraction = _wall(*found.groups())
        return _EPOCH.replace(tzinfo=None) + timedelta(seconds=seconds), fraction
    except (ValueError, OverflowError):
        return None


def ms_of(moment: datetime) -> int:
    """A time with a zone, in ms; its fraction of a second is left out."""
    return (moment - _EPOCH) // timedelta(seconds=1) * 1000


def _wall(
    year: str, month: str, day: str, hour: str, minute: str, second: str | None, more: str | None
) -> tuple[int, int]:
    """What a clock shows, in seconds since 1970, and the ms. Raises ValueError."""
    h, m, s = int(hour), int(minute), int(second or 0)
    if h > 23 or m > 59 or (s > 59 and (s, m) != (60, 59)):  # a leap second
        raise ValueError
    days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    return days * 86_400 + h * 3_600 + m * 60 + s, int(more[:3].ljust(3, "0")) if more else 0


def _offset(sign: str | None, hours: str | None, minutes: str | None) -> int:
    """An offset in seconds. Raises ValueError."""
    if sign is None or hours is None:
        return 0
    h, m = int(hours), int(minutes or 0)
    if h > 23 or m > 59:
        raise ValueError
    return (h * 3_600 + m * 60) * (-1 if sign == "-" else 1)


def duration(milliseconds: int, day: str = "d") -> str:
    """``12 s``, ``5 min``, ``3 h``, ``2 d``; ``day`` is the unit of days. Never negative."""
    seconds = max(0, milliseconds) // 1000
    for size, unit in ((86_400, day), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"

"""The times that devices send, and what ``time_format=`` in a source's URL says about them.

Rule 1: nothing is guessed. A text with a zone (RFC 3339) says everything itself and is read under
every format. A number, or a text without a zone, is read only if the format says how.
Rule 2: a format that does not fit is a sentence, with the option that may fit.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from statecast import timestamps
from statecast.decoders.plain import kind
from statecast.errors import Malformed
from statecast.model import value_class
from statecast.names import quoted
from statecast.program.distribution import install_hint

Unit = Literal["text", "epoch", "epoch_ms"]

FORMATS = "rfc3339, epoch, epoch_ms or local:Europe/Berlin"
_LAST = 253_402_300_799_999
"""The end of the year 9999, in ms."""
_LATE_SECONDS = 100_000_000_000
"""The year 5138: what is beyond it as seconds is in ms, and means now."""
_NUMBER = re.compile(r"-?\d{1,30}(?:\.\d{0,30})?", re.ASCII)


@value_class
class TimeFormat:
    """How the times of one source are written, beside RFC 3339."""

    unit: Unit = "text"
    zone: tzinfo | None = None
    """The zone of texts without one."""
    near: int | None = None
    """When the message was put into its queue, in ms: decides in the hour that occurs twice."""

    def at(self, sent_at: int) -> TimeFormat:
        """The format for a message that was sent at this time."""
        return self if self.zone is None else replace(self, near=sent_at)

    def read(self, value: Any, what: str = "Its time") -> int:
        """A time in ms. ``what`` begins the sentence of an error. Raises Malformed."""
        if type(value) is str:
            return self._read_text(value)
        if type(value) in (int, float):
            if self.unit != "text":
                return self._read_number(Decimal(str(value)), str(value))
            raise Malformed(
                f"{what} must be text, like 2026-01-31T12:00:00Z; it is a number. For a number "
                "from 1970 on, its source needs the option time_format=epoch (seconds) or epoch_ms."
            )
        raise Malformed(f"{what} must be text, like 2026-01-31T12:00:00Z; it is {kind(value)}.")

    def _read_text(self, text: str) -> int:
        local = timestamps.parse_local(text)
        if local is not None:
            if self.zone is None:
                raise Malformed(
                    f"{quoted(text)} does not say in which zone; its source needs an option like "
                    "time_format=local:Europe/Berlin or local:UTC."
                )
            try:
                return self._in_zone(*local)
            except OverflowError:  # the years 1 and 9999
                raise Malformed(f"{quoted(text)} is not a time of this zone.") from None
        if self.unit != "text" and _NUMBER.fullmatch(text.strip()):
            return self._read_number(Decimal(text), text)
        return timestamps.parse_time(text)

    def _read_number(self, number: Decimal, shown: str) -> int:
        seconds = self.unit == "epoch"
        unit = "seconds" if seconds else "milliseconds"
        try:
            ms = int(number * 1000 if seconds else number)
        except (InvalidOperation, OverflowError, ValueError):
            ms = _LAST + 1
        if abs(ms) > (_LATE_SECONDS * 1000 if seconds else _LAST):
            hint = " Milliseconds are time_format=epoch_ms." if seconds else ""
            raise Malformed(f"{quoted(shown)} is not a time in {unit} since 1970.{hint}")
        return ms

    def _in_zone(self, wall: datetime, fraction: int) -> int:
        """The time that a wall clock shows.

        Of the hour that occurs twice, the one nearer to the arrival in the queue counts. A time in
        the hour that does not occur is read as if the clock had not been put forward yet.
        """
        assert self.zone is not None
        first, second = (
            timestamps.ms_of(wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC))
            for fold in (0, 1)
        )
        twice = first < second
        if twice and self.near is not None and abs(second - self.near) < abs(first - self.near):
            return second + fraction
        return first + fraction


RFC_3339 = TimeFormat()
NUMBERS = {"epoch": TimeFormat("epoch"), "epoch_ms": TimeFormat("epoch_ms")}


def parse(text: str) -> TimeFormat:
    """The value of ``time_format=``. Raises ValueError with the end of a sentence."""
    if text == "rfc3339":
        return RFC_3339
    if text in NUMBERS:
        return NUMBERS[text]
    word, colon, name = text.partition(":")
    if word != "local" or not colon or not name:
        raise ValueError(f"must be {FORMATS}")
    return TimeFormat(zone=zone_of(name))


def zone_of(name: str) -> tzinfo:
    """The zone with this name. Raises ValueError with the end of a sentence."""
    if name == "UTC":
        return UTC
    import zoneinfo  # most sources need no zone

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        pass
    if not zoneinfo.available_timezones():
        raise ValueError(
            "needs the table of time zones, which this system lacks; install the package tzdata, "
            f"for example with: {install_hint('zones')}"
        )
    raise ValueError(f"must name a zone like local:Europe/Berlin; there is no zone {quoted(name)}")

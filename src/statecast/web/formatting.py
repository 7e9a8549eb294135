"""How values look before the script takes over: numbers, units, times, and the order of fields.

The browser writes the same in its own languages (``Intl``). Here it is English and UTC, so that the
first HTML is true without any script.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from statecast import timestamps
from statecast.errors import Malformed
from statecast.web.tables import TABLES

FIRST: list[str] = TABLES["first_fields"]
"""Fields that a card shows before all others."""
DESCRIBING: list[str] = TABLES["describing_fields"]
DESCRIBING_SUFFIX: str = TABLES["describing_suffix"]
UNITS: dict[str, str] = TABLES["units"]
"""By the end of a field's name."""
SHARES: list[str] = TABLES["percent_fields"]
"""Whole names that mean percent, as long as the value can be a percentage."""
NO_BREAK = "\u00a0"


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def split_unit(name: str, value: Any) -> tuple[str, str]:
    """The name to show and the unit: ``temperature_c`` of a number is (temperature, °C)."""
    if not is_number(value):
        return name, ""
    if name in SHARES:
        return name, "%" if 0 <= value <= 100 else ""
    stem, _, end = name.rpartition("_")
    return (stem, UNITS[end]) if stem and end in UNITS else (name, "")


def is_describing(name: str) -> bool:
    """Whether a field only describes its device, like ``label`` or ``noted_at``."""
    return name in DESCRIBING or name.endswith(DESCRIBING_SUFFIX)


def rank(name: str, value: Any) -> tuple[int, int, str]:
    """Sort key of fields: the known first, then by name, battery and descriptions last."""
    stem = split_unit(name, value)[0]
    if stem in FIRST:
        return 0, FIRST.index(stem), name
    if is_describing(name):
        return 3, 0, name
    if stem == "battery":
        return 2, 0, name
    return 1, 0, name


def in_order(state: Mapping[str, Any]) -> list[str]:
    return sorted(state, key=lambda name: rank(name, state[name]))


def main_fields(state: Mapping[str, Any], wanted: Iterable[str] = (), count: int = 3) -> list[str]:
    """What a card shows: the fields of the setting, else the first plain ones.

    Fields that only describe the device do not count.
    """
    chosen = [name for name in wanted if name in state]
    if not chosen:
        names = in_order(state)
        quiet = {name for name in names if rank(name, state[name])[0] == 3 or name == "color"}
        plain = [
            name
            for name in names
            if not isinstance(state[name], (dict, list)) and name not in quiet
        ]
        nested = [name for name in names if isinstance(state[name], (dict, list))]
        chosen = plain or nested
    return chosen[:count]


SAFE = 2**53 - 1
"""Whole numbers up to here are exact in JSON readers, and are written out."""


def number(value: float) -> str:
    """A number with all of its digits: two different numbers are two different texts."""
    size = abs(value)
    if size <= SAFE and value == int(value):
        return f"{int(value):,}"
    if size >= 1e15 or size < 1e-6:
        return scientific(Decimal(repr(float(value))))
    return plain(Decimal(repr(float(value))))


def plain(of: Decimal) -> str:
    text = f"{of:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def scientific(of: Decimal) -> str:
    power = of.adjusted()
    return f"{plain(of.scaleb(-power))}E{power}"


def value(name: str, of: Any) -> str:
    """A field's value as text, with its unit. Numbers are exact: pictures alone round them."""
    if of is True or of is False:
        return "yes" if of else "no"
    if is_number(of):
        return with_unit(name, of, number(of))
    if isinstance(of, dict):
        return "{1 field}" if len(of) == 1 else f"{{{len(of):,} fields}}"
    if isinstance(of, list):
        if len(of) <= 3 and not any(isinstance(part, (dict, list)) for part in of):
            return ", ".join(value("", part) for part in of) or "[0 items]"
        return f"[{len(of):,} items]" if len(of) != 1 else "[1 item]"
    return "" if of is None else _text(of)


def brief(name: str, of: Any) -> str:
    """A value in a list. Of a number 15 digits: what was sent with up to 15 stays what it is.

    The other digits of 22.099999999999998 are noise of binary arithmetic, and have no room.
    """
    is_fraction = isinstance(of, float) and not of.is_integer()
    return value(name, float(f"{of:.15g}") if is_fraction else of)


def with_unit(name: str, of: Any, digits: str) -> str:
    unit = split_unit(name, of)[1]
    return digits + (NO_BREAK + unit if unit else "")


def _text(of: Any) -> str:
    text = str(of)
    return _data(text) or _moment(text) or text or "“”"


_DATA = re.compile(TABLES["data_pattern"], re.IGNORECASE | re.ASCII)
_TIME = re.compile(
    r"\d{4}-[01]\d-[0-3]\dT[012]\d:[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-][01]\d:[0-5]\d)",
    re.ASCII,
)
"""As in ``ages.js``."""


def _data(text: str) -> str | None:
    """``image, 12 KB`` for a ``data:`` address, whose base64 says nothing to people."""
    found = _DATA.match(text)
    if found is None:
        return None
    sort, body = found[1].lower(), text[found.end() :]
    length = len(body.rstrip("=")) * 3 // 4 if found[2] else len(body)
    size = f"{length} bytes" if length < 1000 else f"{(length + 500) // 1000:,} KB"
    return f"{sort}, {size}"


def time_of(text: str) -> int | None:
    """The time in ms that a text is, if all of it is one with a date and a time zone."""
    if _TIME.fullmatch(text) is None:
        return None
    try:
        return timestamps.parse_time(text)
    except Malformed:
        return None


def _moment(text: str) -> str | None:
    ms = time_of(text)
    if ms is None:
        return None
    at = moment(ms)
    parts = f".{ms % 1000:03}" if ms % 1000 else ""
    return f"{at.day} {at:%b} {at.year}, {at:%H:%M:%S}{parts} UTC"


def cut(text: str, length: int) -> str:
    """A text that says that it was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"


def short_id(text: str) -> str:
    return text if len(text) <= 12 else f"{text[:5]}…{text[-4:]}"


def rows(state: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Every row of a device's state: (top-level field, dotted name, value).

    Objects are opened two levels deep.
    """
    for name in in_order(state):
        for path, inner in _opened(name, state[name], 2):
            yield name, path, inner


def _opened(path: str, of: Any, levels: int) -> Iterator[tuple[str, Any]]:
    if isinstance(of, dict) and of and levels:
        for name, inner in of.items():
            yield from _opened(f"{path}.{name}", inner, levels - 1)
    else:
        yield path, of


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def iso(ms: int) -> str:
    return moment(ms).strftime("%Y-%m-%dT%H:%M:%SZ")


def clock(ms: int, now: int | None = None) -> str:
    """The time of day; with the date if it was another day than ``now``."""
    at = moment(ms)
    same_day = now is None or moment(now).date() == at.date()
    return at.strftime("%H:%M:%S") if same_day else f"{at.day} {at:%b %H:%M}"


def day(ms: int) -> str:
    at = moment(ms)
    return f"{at.day} {at:%b}"


def ago(at: int, now: int) -> str:
    """The age of a moment. One that is later than ``now``, by another clock, is now."""
    return "just now" if now - at < 2_000 else f"{timestamps.duration(now - at)} ago"


def size(count: int | None) -> str:
    """Bytes, with a unit of 1,000; None is not known."""
    if count is None:
        return "not known"
    for bound, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= bound:
            return f"{float(f'{count / bound:.3g}'):g}{NO_BREAK}{unit}"
    return f"{count}{NO_BREAK}B"


def lag(seconds: float | None) -> str:
    """How far a queue is behind; a number that would be rounded to nothing is not shown."""
    if seconds is None:
        return "not known"
    return f"{seconds:,.1f}{NO_BREAK}s" if seconds >= 0.1 else f"under 0.1{NO_BREAK}s"

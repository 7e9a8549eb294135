"""How values look before the script takes over: numbers, units, times, and the order of fields.

The browser writes the same in its own languages (``Intl``). Here it is English and UTC, so that the
first HTML is true without any script.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from statecast.web.tables import TABLES

FIRST: list[str] = TABLES["first_fields"]
"""Fields that a card shows before all others."""
DESCRIBING: list[str] = TABLES["describing_fields"]
DESCRIBING_SUFFIX: str = TABLES["describing_suffix"]
UNITS: dict[str, str] = TABLES["units"]
"""By the end of a field's name."""
SHARES: list[str] = TABLES["percent_fields"]
"""Whole names that mean percent."""
NO_BREAK = "\u00a0"


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def split_unit(name: str, value: Any) -> tuple[str, str]:
    """The name to show and the unit: ``temperature_c`` of a number is (temperature, °C)."""
    if not is_number(value):
        return name, ""
    if name in SHARES:
        return name, "%"
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


def number(value: float, digits: int | None = 4) -> str:
    """A number for people; ``digits`` None shows all of it."""
    size = abs(value)
    if isinstance(value, int) and digits is None and size < 10**15 * 10:
        return f"{value:,}"
    if size >= 1e15 or 0 < size < 1e-6:
        mantissa, _, power = (
            f"{value:.{(digits or 17) - 1}e}" if digits else f"{_shortest(value)}"
        ).partition("e")
        return f"{_trim(mantissa)}E{int(power)}"
    if digits is None:
        return f"{_trim(format(value, ',.17f')) if size < 1e-4 else f'{value:,}'}".removesuffix(
            ".0"
        )
    if size >= 1e6:
        return _compact(value, digits)
    return _rounded(value, digits)


def _shortest(value: float) -> str:
    text = repr(float(value))
    return text if "e" in text else f"{value:.16e}"


def _compact(value: float, digits: int) -> str:
    for bound, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if abs(value) >= bound:
            return _rounded(value / bound, digits) + letter
    return _rounded(value, digits)


def _rounded(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return _trim(f"{round(value, places):,.{max(places, 0)}f}")


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def value(name: str, of: Any, digits: int | None = 4) -> str:
    """A field's value as text, with its unit."""
    if of is True or of is False:
        return "yes" if of else "no"
    if is_number(of):
        unit = split_unit(name, of)[1]
        return number(of, digits) + (NO_BREAK + unit if unit else "")
    if isinstance(of, dict):
        return "{1 field}" if len(of) == 1 else f"{{{len(of):,} fields}}"
    if isinstance(of, list):
        if len(of) <= 3 and not any(isinstance(part, (dict, list)) for part in of):
            return ", ".join(value("", part, digits) for part in of) or "[0 items]"
        return f"[{len(of):,} items]" if len(of) != 1 else "[1 item]"
    return "" if of is None else str(of) or "“”"


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

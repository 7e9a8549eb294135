"""Values of Python as JSON: what an application gives to ``live.set``, ``live.poll`` and others.

====================================  ==========================================================
a value                               becomes
====================================  ==========================================================
``str``, ``int``, ``float``, ``bool``  itself; instances of subclasses those of the plain type
mapping, dataclass                    an object; its names must be text
``list``, ``tuple``, ``range``,       an array
``deque``, array of numpy
``Enum``                              its value
``Decimal``                           a number, if a number of JSON has as many digits
``datetime`` with a zone              text in UTC, like ``2026-01-31T12:00:00Z``
``date``, ``time``, ``UUID``          text
``timedelta``                         seconds
scalar of numpy, pandas, torch        what its ``item()`` is
====================================  ==========================================================

Everything else is refused with a sentence that says where it is and what to send instead. Numpy and
pandas are never imported: their values are known by ``dtype``, ``shape`` and ``item``.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NoReturn
from uuid import UUID

from statecast.errors import Malformed
from statecast.names import quoted
from statecast.strict_json import text

Place = tuple[str | int, ...]
"""Where a value is: names and indexes from the whole value down."""
FINISHED = frozenset({str, bool, type(None)})
"""Types whose values are plain already."""


def check(value: Any) -> Any:
    """A plain copy of a value made in Python. Raises Malformed for what is no JSON.

    Later changes of the original do not change the copy.
    """
    copy = _plain(value, ())
    text.check_characters(copy)
    return copy


def check_and_encode(value: Any) -> bytes:
    """``encode(check(value))``, with one encoding less. Raises Malformed for what is no JSON."""
    encoded = text.encode_small(value)
    return text.encode(_plain(value, ())) if encoded is None else encoded


def _plain(value: Any, place: Place) -> Any:
    kind = type(value)
    if kind in FINISHED:
        return value
    if kind is int or kind is float:
        return _number(value, place)
    if kind is dict:
        return _object(value, place)
    if kind is list or kind is tuple:
        return _array(value, place)
    return _unusual(value, place)


def _unusual(value: Any, place: Place) -> Any:
    """Of a type that does not come from JSON."""
    if isinstance(value, Enum):
        return _plain(value.value, place)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (int, float)):
        return _number(int(value) if isinstance(value, int) else float(value), place)
    if isinstance(value, (list, tuple, range, deque)):
        return _array(value, place)
    if isinstance(value, Mapping):
        return _object(value, place)
    for kind, convert in CONVERTED:
        if isinstance(value, kind):
            return _plain(convert(value, place), place)
    if hasattr(value, "dtype") and callable(getattr(value, "item", None)):
        return _of_numpy(value, place)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        members = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
        return _object(members, place)
    return refuse(place, *_why(value))


def _number(number: int | float, place: Place) -> int | float:
    if isinstance(number, int):
        if abs(number) > text.MAX_INTEGER:
            refuse(
                place,
                f"an integer beyond ±{text.MAX_INTEGER}, which browsers cannot hold",
                "send it as text",
            )
    elif number - number != 0.0:
        word = "NaN" if number != number else "infinite"
        refuse(place, f"{word}, which is no number in JSON", "leave the field out or send None")
    return number


def _array(items: Any, place: Place) -> list[Any]:
    if len(place) >= text.MAX_DEPTH:
        raise Malformed(text.TOO_DEEP)
    return [
        item if type(item) in FINISHED else _plain(item, (*place, index))
        for index, item in enumerate(items)
    ]


def _object(members: Mapping[Any, Any], place: Place) -> dict[str, Any]:
    if len(place) >= text.MAX_DEPTH:
        raise Malformed(text.TOO_DEEP)
    copy = {}
    for key, value in members.items():
        name = key if type(key) is str else _name(key, place)
        copy[name] = value if type(value) in FINISHED else _plain(value, (*place, name))
    text.check_names(copy)
    return copy


def _name(key: Any, place: Place) -> str:
    """Of a member, as plain text."""
    if not isinstance(key, str):
        raise Malformed(
            f"The names in an object must be text; {_shown(place)} has a name of the type "
            f"{type(key).__name__}, which str() makes text."
        )
    return str.__str__(key)


# What is converted


def _decimal(value: Decimal, place: Place) -> int | float:
    if not value.is_finite():
        return float("inf") if value.is_infinite() else float("nan")
    if value.adjusted() <= 20 and value == value.to_integral_value():
        return int(value)
    number = float(value)
    if number - number != 0.0 or Decimal(repr(number)) != value:
        refuse(
            place,
            "a Decimal with more digits than a number in JSON keeps",
            "send float(value), or str(value) as text",
        )
    return number


def _moment(value: datetime, place: Place) -> str:
    if value != value:  # pandas.NaT is a datetime
        refuse(place, "NaT, which is no time", "leave the field out or send None")
    if value.tzinfo is None:
        refuse(
            place,
            "a datetime without a zone, which others cannot place",
            "send datetime.now(UTC), or value.astimezone() if it is the time of this machine",
        )
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _bytes(value: Any, place: Place) -> NoReturn:
    refuse(
        place,
        f"a {type(value).__name__} object, which is no text",
        "send value.decode(), or base64.b64encode(value).decode()",
    )


def _set(value: Any, place: Place) -> NoReturn:
    refuse(place, f"a {type(value).__name__}, which has no order", "send sorted(value)")


CONVERTED: tuple[tuple[Any, Callable[[Any, Place], Any]], ...] = (
    (Decimal, _decimal),
    (datetime, _moment),  # before date, of which it is a subclass
    ((date, time), lambda value, place: value.isoformat()),
    (timedelta, lambda value, place: value.total_seconds()),
    (UUID, lambda value, place: str(value)),
    ((bytes, bytearray, memoryview), _bytes),
    ((set, frozenset), _set),
)


def _of_numpy(value: Any, place: Place) -> Any:
    """A scalar or an array of numpy, or what behaves like one."""
    if callable(getattr(value, "to_dict", None)):
        refuse(place, *_why(value))
    kind, name = getattr(value.dtype, "kind", ""), type(value).__name__
    if kind == "M":
        refuse(place, f"a {name} of numpy, which has no zone", "send a datetime with a zone")
    if kind == "m":
        refuse(place, f"a {name} of numpy, which is no number", "send its seconds as a number")
    if value.shape:
        return _array(value, place)
    item = value.item()
    if type(item) is type(value):  # a number that Python has no type for
        refuse(place, *_why(value))
    if type(item) is float and getattr(value.dtype, "itemsize", 8) < 8:
        item = float(str(value))  # 0.1, and not 0.10000000149011612
    return _plain(item, place)


# What is refused


def refuse(place: Place, what: str, instead: str) -> NoReturn:
    raise Malformed(f"{_shown(place)} is {what}; {instead}.")


def _shown(place: Place) -> str:
    """The place as a JSON pointer, for a sentence."""
    if not place:
        return "The value"
    return f"The value at {quoted(''.join(f'/{part}' for part in place))}"


def _why(value: Any) -> tuple[str, str]:
    """What a value is that cannot be JSON, and what to do."""
    name = type(value).__name__
    if name == "NAType":  # pandas.NA
        return "NA of pandas, which is no value", "leave the field out or send None"
    if inspect.isawaitable(value):
        return f"a {name}, which is no value yet", "await it"
    if inspect.isroutine(value) or isinstance(value, type):
        return "a function or a class, which is no value", "call it, with ()"
    for method in ("to_dict", "model_dump"):
        if callable(getattr(value, method, None)):
            return f"of the type {name}, which is no JSON", f"send value.{method}()"
    return (
        f"of the type {name}, which is no JSON",
        "send text, a number, a list or a dict made of it",
    )

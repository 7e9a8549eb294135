"""JSON as strict as its strictest reader: whatever is accepted here means the same to a browser's ``JSON.parse``.

Refused, because readers disagree about them: NaN and infinities, numbers that overflow, integers beyond
+-(2^53 - 1), a name twice in one object, lone surrogates, a byte order mark, invalid UTF-8, NUL in names; and
what is deeper, wider or longer than the limits below. Fast libraries write NaN as ``null``, which in a merge
patch removes the field; so this is the standard library's parser, a hook and one small walk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from statecast.errors import Malformed
from statecast.names import quoted

MOST_DEPTH = 32
MOST_MEMBERS = 256
MOST_NAME = 64
MOST_INTEGER = 2**53 - 1

TOO_DEEP = f"It is nested more than {MOST_DEPTH} levels deep."
NO_NUMBER = "{} is not a number in JSON; leave the field out or send null."
HALF_CHARACTER = "It contains half a character (a lone surrogate), which is not text."


def decode(text: bytes | str) -> Any:
    """Read JSON. Raises Malformed with a sentence."""
    try:
        if not isinstance(text, str):
            text = text.decode()
        elif not text.isascii():
            text.encode()
    except UnicodeDecodeError as error:
        raise Malformed(f"It is not text in UTF-8 (byte {error.start + 1} is wrong).") from None
    except UnicodeEncodeError:
        raise Malformed(HALF_CHARACTER) from None
    try:
        return _parse(text)
    except RecursionError:
        raise Malformed(TOO_DEEP) from None
    except json.JSONDecodeError as error:
        sentence = TOO_DEEP if _is_deep(text, error.pos) else _explain(error)
        raise Malformed(sentence) from None
    except Malformed as error:
        raise Malformed(TOO_DEEP if _is_deep(text, len(text)) else str(error)) from None


def _parse(text: str) -> Any:
    try:
        value = _decoder.decode(text)
        if type(value) is dict:
            _walk(value.values(), 1)
        else:
            _walk((value,), 0)
        if "\\u" in text:  # only an escape brings a lone surrogate past the UTF-8 decoder
            _encoder.encode(value).encode()
        return value
    except json.JSONDecodeError:
        raise
    except UnicodeEncodeError:
        raise Malformed(HALF_CHARACTER) from None
    except ValueError:  # more digits than Python converts
        raise Malformed(_integer_sentence()) from None


def _is_deep(text: str, end: int) -> bool:
    """Whether the first ``end`` characters nest more than MOST_DEPTH levels.

    How deep Python's parser can go before it raises RecursionError depends on the version and on
    the size of the stack. What a refusal says must not, so a text that was refused is measured.
    """
    if text.count("[", 0, end) + text.count("{", 0, end) <= MOST_DEPTH:
        return False
    depth = 0
    for found in _PUNCTUATION.finditer(text, 0, end):
        depth += _LEVELS.get(found[0], 0)
        if depth > MOST_DEPTH:
            return True
    return False


def encode(value: Any) -> bytes:
    """Write a value that is known to be good. Raises Malformed if it is not JSON at all; use ``check`` to be sure."""
    try:
        return _encoder.encode(value).encode()
    except UnicodeEncodeError:
        raise Malformed(HALF_CHARACTER) from None
    except RecursionError:
        raise Malformed(TOO_DEEP) from None
    except (TypeError, ValueError) as error:
        raise Malformed(f"This value cannot be written as JSON: {error}.") from None


def check(value: Any) -> Any:
    """A plain copy of a value made in Python, which later changes of the original do not reach.

    Tuples become lists, and subclasses what they are to JSON. Raises Malformed for whatever ``decode`` would refuse.
    """
    copy = _plain(value, 0)
    try:
        _encoder.encode(copy).encode()
    except UnicodeEncodeError:
        raise Malformed(HALF_CHARACTER) from None
    return copy


def split_array(text: str) -> list[str]:
    """The raw items of an array, each to be decoded alone, so that one bad item does not spoil its neighbours.

    Only the grammar is looked at. Raises Malformed if the text is no array.
    """
    items: list[str] = []
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise Malformed("It is not a JSON array.")
    at = _skip(text, at + 1)
    try:
        while text[at : at + 1] != "]" or items:
            _, end = _splitter.raw_decode(text, at)
            items.append(text[at:end])
            at = _skip(text, end)
            if text[at : at + 1] == "]":
                break
            if text[at : at + 1] != ",":
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
            at = _skip(text, at + 1)
    except json.JSONDecodeError as error:
        if _is_deep(text, error.pos):
            return _split_at_commas(text)
        raise Malformed(_explain(error)) from None
    except RecursionError:  # one item is too deep for the parser; it shall be refused alone
        return _split_at_commas(text)
    if _skip(text, at + 1) != len(text):
        raise Malformed("There is something after the end of the JSON array.")
    return items


def _split_at_commas(text: str) -> list[str]:
    """Split by brackets alone; whether what lies between them is JSON is found when an item is decoded.

    An item that is too deep and does not end takes the rest of the text; the items before it stand.
    """
    items: list[str] = []
    depth, begin = 0, 0
    for found in _PUNCTUATION.finditer(text):
        mark = found[0]
        if mark in "[{":
            begin = found.end() if depth == 0 else begin
            depth += 1
        elif mark in "]}":
            depth -= 1
            if depth == 0:
                return _last_item(text, begin, found.start(), items)
        elif mark == "," and depth == 1:
            items.append(text[begin : found.start()].strip(" \t\r\n"))
            begin = found.end()
    if items and depth > MOST_DEPTH:
        return [*items, text[begin:].strip(" \t\r\n")]
    raise Malformed("It is not JSON: the array does not end.")


def _last_item(text: str, begin: int, end: int, items: list[str]) -> list[str]:
    if _skip(text, end + 1) != len(text):
        raise Malformed("There is something after the end of the JSON array.")
    return [*items, text[begin:end].strip(" \t\r\n")]


def for_html(text: bytes | str) -> str:
    """JSON that may stand inside a ``<script>`` of a page: nothing in it ends the element or a line."""
    if not isinstance(text, str):
        text = text.decode()
    return text.translate(_UNSAFE_IN_HTML)


def iso(ms: int) -> str:
    """``2026-01-31T12:00:00.123Z``."""
    seconds, fraction = divmod(ms, 1000)
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]}.{fraction:03}Z"


def parse_time(text: str) -> int:
    """Read a time as RFC 3339 has it, with ``Z`` or an offset; below a millisecond is cut off. Raises Malformed."""
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


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_PUNCTUATION = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{},]', re.DOTALL)
_LEVELS = {"[": 1, "{": 1, "]": -1, "}": -1}
_UNSAFE_IN_HTML = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def _walk(values: Iterable[Any], depth: int) -> None:
    """What the parser lets through; ``depth`` is that of the container."""
    if depth > MOST_DEPTH:
        raise Malformed(TOO_DEEP)
    for value in values:
        kind = type(value)
        if kind is str or kind is bool or value is None:
            continue
        if kind is int:
            if not -MOST_INTEGER <= value <= MOST_INTEGER:
                raise Malformed(_integer_sentence())
        elif kind is float:
            if value - value != 0.0:
                raise Malformed("It contains a number too large for JSON's readers.")
        else:
            _walk(value.values() if kind is dict else value, depth + 1)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The hook for each object."""
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Malformed(f"An object has the member {quoted(twice)} twice.")
    _check_names(members)
    return members


def _check_names(members: Mapping[str, Any]) -> None:
    if len(members) > MOST_MEMBERS:
        raise Malformed(
            f"An object has {len(members)} members; at most {MOST_MEMBERS} are allowed."
        )
    for name in members:
        if len(name) > MOST_NAME:
            raise Malformed(f"The name {quoted(name)} is longer than {MOST_NAME} characters.")
        if "\0" in name:
            raise Malformed(f"The name {quoted(name)} contains a NUL character.")


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (int, float)):
        number = int(value) if isinstance(value, int) else float(value)
        _walk((number,), depth)
        return number
    if depth == MOST_DEPTH:
        raise Malformed(TOO_DEEP)
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    if not isinstance(value, Mapping):
        raise Malformed(f"A value of the type {type(value).__name__} cannot be written as JSON.")
    if not all(isinstance(name, str) for name in value):
        raise Malformed("The names in an object must be text.")
    members = {str.__str__(name): _plain(inner, depth + 1) for name, inner in value.items()}
    _check_names(members)
    return members


def _constant(name: str) -> NoReturn:
    raise Malformed(NO_NUMBER.format(name))


def _integer_sentence() -> str:
    return f"It contains an integer beyond ±{MOST_INTEGER}, which browsers cannot hold; send it as text."


def _explain(error: json.JSONDecodeError) -> str:
    if not error.doc.strip():
        return "It is empty."
    if error.doc.startswith("\ufeff"):
        return "It begins with a byte order mark; send UTF-8 without one."
    problem = error.msg[:1].lower() + error.msg[1:]
    return f"It is not JSON: {problem} (line {error.lineno}, column {error.colno})."


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


_decoder = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant)
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_splitter = json.JSONDecoder(parse_int=len, parse_float=len)

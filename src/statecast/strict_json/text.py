"""JSON that every reader understands alike: what is accepted here is the same to ``JSON.parse``.

Rule 1: refused is what readers disagree about: NaN and infinities, numbers that overflow, integers
beyond +-(2^53 - 1), a name twice in one object, lone surrogates, a byte order mark, invalid UTF-8
and NUL in names.
Rule 2: refused is what is deeper, wider or longer than the limits below.

The parser is the standard library's, with a hook and one small walk. Several faster libraries write
NaN as ``null``, which in a merge patch removes the field, and accept a name twice. So a fast one
only writes what was checked before, and reads only texts in which it can be wrong about nothing but
a name twice, which shows in what it writes of them. It refuses nothing: the standard library has
the last word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import orjson

from statecast.errors import Malformed
from statecast.names import quoted

MAX_DEPTH = 32
MAX_MEMBERS = 256
MAX_NAME = 256
"""Characters of a name. Claims in events of Azure are URIs of more than 64."""
MAX_INTEGER = 2**53 - 1

_UNCHECKED = (
    orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
"""Integers that browsers hold, and no types but those that ``values.check`` takes as they are."""

DOUBTFUL = object()
"""Stands for the value of a text that is left to the careful parser."""
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
"""Of at least so many digits are integers beyond 64 bits, which the fast parser rounds."""

TOO_DEEP = f"It is nested more than {MAX_DEPTH} levels deep."
NO_NUMBER = "{} is not a number in JSON; leave the field out or send null."
HALF_CHARACTER = "It contains half a character (a lone surrogate), which is not text."


def decode(text: bytes | str) -> Any:
    """Read JSON. Raises Malformed with a sentence."""
    if isinstance(text, bytes) and (value := _decode_plain(text)) is not DOUBTFUL:
        return value
    return decode_carefully(text)


def decode_carefully(text: bytes | str) -> Any:
    """The same by the standard library alone, in twice the time."""
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


def _decode_plain(text: bytes) -> Any:
    """What ``decode_carefully`` returns, or DOUBTFUL.

    Without escapes both the text and what is written of its value have each character of a text
    once, and a colon for each member. So they have as many colons unless a name stood there twice.
    """
    if not _is_plain(text):
        return DOUBTFUL
    try:
        value = orjson.loads(text)
        written = orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER)
    except (ValueError, TypeError):  # the careful parser knows why, and says it
        return DOUBTFUL
    return value if written.count(b":") == text.count(b":") else DOUBTFUL


def _is_plain(text: bytes) -> bool:
    """Whether a text has no escapes, and cannot exceed a limit."""
    return (
        b"\\" not in text
        and text.count(b":") <= MAX_MEMBERS
        and text.count(b"[") + text.count(b"{") <= MAX_DEPTH
        and not _has_long_number(text)
        and (len(text) <= MAX_NAME or max(map(len, text.split(b'"'))) <= MAX_NAME)
    )


def _has_long_number(text: bytes) -> bool:
    """Whether there may be one that the fast parser rounds."""
    return _LONG_NUMBER in text.translate(_DIGITS)


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
    """Whether the first ``end`` characters nest more than MAX_DEPTH levels.

    The depth at which Python's parser raises RecursionError depends on the version and on the size
    of the stack. The sentence of a refusal must not, so the depth of a refused text is measured.
    """
    if text.count("[", 0, end) + text.count("{", 0, end) <= MAX_DEPTH:
        return False
    depth = 0
    for found in _PUNCTUATION.finditer(text, 0, end):
        depth += _LEVELS.get(found[0], 0)
        if depth > MAX_DEPTH:
            return True
    return False


def encode(value: Any) -> bytes:
    """Write a value that ``decode`` or ``check`` has accepted.

    Raises Malformed for a value that is not JSON at all, but not for all that ``check`` refuses.
    """
    try:
        return _encoder.encode(value).encode()
    except UnicodeEncodeError:
        raise Malformed(HALF_CHARACTER) from None
    except RecursionError:
        raise Malformed(TOO_DEEP) from None
    except (TypeError, ValueError) as error:
        raise Malformed(f"This value cannot be written as JSON: {error}.") from None


encode_checked: Callable[[Any], bytes] = orjson.dumps
"""Write a value that ``decode`` or ``check`` has accepted, in a fifteenth of the time.

The bytes are those of ``encode``, but for numbers with an exponent: 1.5e-7 for 1.5e-07, and
0.000015 for 1.5e-05, which are the same numbers. Never for a value that was not checked: NaN would
become ``null``.
"""

encoded: Callable[[bytes], Any] = orjson.Fragment
"""JSON that was encoded before, as a part of what ``encode_checked`` writes."""


def encode_small(value: Any) -> bytes | None:
    """Write a small value that was not checked; None if each part of it must be looked at.

    The writer takes what ``check`` takes of the plain types, and as it is converted there. In so
    few bytes no name is too long and no object has too many members. NaN becomes ``null``.
    """
    try:
        encoded = orjson.dumps(value, option=_UNCHECKED)
    except TypeError:
        return None
    simple = (
        len(encoded) <= MAX_NAME
        and b"null" not in encoded
        and b"\\u0000" not in encoded
        and encoded.count(b"[") + encoded.count(b"{") <= MAX_DEPTH
    )
    return encoded if simple else None


decode_checked: Callable[[bytes | str], Any] = orjson.loads
"""Read JSON that was checked before it was written, in a tenth of the time of ``decode``.

Never for what came from outside: it takes what ``decode`` refuses, like two equal names. It raises
ValueError for what is no JSON, and rounds integers beyond 64 bits, which ``check`` refuses.
"""


def decode_numbers(text: bytes) -> Any:
    """Read our own JSON whose integers may have any length."""
    return json.loads(text) if _has_long_number(text) else orjson.loads(text)


def check_characters(value: Any) -> None:
    """Raise Malformed if a plain value contains half of a character."""
    try:
        orjson.dumps(value)
    except TypeError:  # it takes half characters for no text, and integers of more than 64 bits
        encode(value)


def split_array(text: str) -> list[str]:
    """The raw items of an array, to be decoded one by one: a bad item is refused alone.

    Only the grammar is checked. Raises Malformed if the text is no array.
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
    except RecursionError:  # one item is too deep for the parser: that item is refused alone
        return _split_at_commas(text)
    if _skip(text, at + 1) != len(text):
        raise Malformed("There is something after the end of the JSON array.")
    return items


def _split_at_commas(text: str) -> list[str]:
    """Split by brackets alone: whether an item is JSON shows when it is decoded.

    An item that is too deep and does not end takes the rest of the text; the items before it stay.
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
    if items and depth > MAX_DEPTH:
        return [*items, text[begin:].strip(" \t\r\n")]
    raise Malformed("It is not JSON: the array does not end.")


def _last_item(text: str, begin: int, end: int, items: list[str]) -> list[str]:
    if _skip(text, end + 1) != len(text):
        raise Malformed("There is something after the end of the JSON array.")
    return [*items, text[begin:end].strip(" \t\r\n")]


def for_html(text: bytes | str) -> str:
    """JSON for a ``<script>`` element of a page: nothing in it ends the element or a line."""
    if not isinstance(text, str):
        text = text.decode()
    return text.translate(_UNSAFE_IN_HTML)


_PUNCTUATION = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{},]', re.DOTALL)
_LEVELS = {"[": 1, "{": 1, "]": -1, "}": -1}
_UNSAFE_IN_HTML = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def _walk(values: Iterable[Any], depth: int) -> None:
    """Refuse what the parser accepts and we do not; ``depth`` is that of the container."""
    if depth > MAX_DEPTH:
        raise Malformed(TOO_DEEP)
    for value in values:
        kind = type(value)
        if kind is str or kind is bool or value is None:
            continue
        if kind is int:
            if not -MAX_INTEGER <= value <= MAX_INTEGER:
                raise Malformed(_integer_sentence())
        elif kind is float:
            if value - value != 0.0:
                raise Malformed(
                    "It contains a number beyond ±1.8e308, which no reader of JSON can hold."
                )
        else:
            _walk(value.values() if kind is dict else value, depth + 1)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The parser's hook for each object."""
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Malformed(f"An object has the member {quoted(twice)} twice.")
    check_names(members)
    return members


def check_names(members: Mapping[str, Any]) -> None:
    """Raise Malformed for an object with too many members, or with a name that is none."""
    if len(members) > MAX_MEMBERS:
        raise Malformed(f"An object has {len(members)} members; at most {MAX_MEMBERS} are allowed.")
    for name in members:
        if len(name) > MAX_NAME:
            raise Malformed(f"The name {quoted(name)} is longer than {MAX_NAME} characters.")
        if "\0" in name:
            raise Malformed(f"The name {quoted(name)} contains a NUL character.")


def _constant(name: str) -> NoReturn:
    raise Malformed(NO_NUMBER.format(name))


def _integer_sentence() -> str:
    return (
        f"It contains an integer beyond ±{MAX_INTEGER}, "
        "which browsers cannot hold; send it as text."
    )


def _explain(error: json.JSONDecodeError) -> str:
    if not error.doc.strip():
        return "It is empty."
    if error.doc.startswith("\ufeff"):
        return "It begins with a byte order mark; send UTF-8 without one."
    if error.msg == "Extra data":
        return (
            "It is not JSON: there is something after the end of the value "
            f"(line {error.lineno}, column {error.colno}); several messages stand in an array, or "
            "one per line."
        )
    problem = error.msg[:1].lower() + error.msg[1:]
    return f"It is not JSON: {problem} (line {error.lineno}, column {error.colno})."


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


_decoder = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant)
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_splitter = json.JSONDecoder(parse_int=len, parse_float=len)

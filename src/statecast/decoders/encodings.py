"""How the text of a message may be encoded: one table, the same for every way in.

Queues, ``POST /api/messages``, ``statecast send`` and ``live.send`` all read with ``unwrap``.

Rule 1: a message is an object or an array. Neither ``{`` nor ``[`` is in the alphabet of Base64, so
a text that begins with one of them is JSON, and every other text is not.
Rule 2: an encoding is read where nothing else can be meant. JSON has no NUL character, so zeros in
the first four bytes say UTF-16 or UTF-32; Base64 has no quotes, so a text in quotes is none.
Rule 3: everything else is refused, with a sentence that names what it is and how its writer sends
JSON instead. Encodings may be nested, at most three deep.
"""

from __future__ import annotations

import ast
import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from statecast import strict_json
from statecast.errors import Malformed, Refused, TooLarge
from statecast.model import value_class

MAX_LAYERS = 3
MAX_WRAPPED_BYTES = 1_048_576
"""Of a text before it is unwrapped. No text queue accepts more."""
BINARY = "CBOR, MessagePack and Protobuf are not read; send JSON."
OBJECT = 'send an object like {"device": "pillow", "state": {"mood": "happy"}}.'
CURLY = (
    "Its quotes are typographic (“ ”), as word processors and chats write them; "
    'send straight ones (").'
)
UNKNOWN = "It is neither JSON (an object or an array) nor Base64."

_SPACE = b" \t\r\n"
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),  # before UTF-16, whose mark is the beginning of this one
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
"""Byte order marks, with the encoding that each of them says."""
_UNMARKED = (
    (re.compile(rb"[^\0]\0\0\0"), "utf-32-le"),
    (re.compile(rb"\0\0\0[^\0]"), "utf-32-be"),
    (re.compile(rb"[^\0]\0[^\0]\0"), "utf-16-le"),
    (re.compile(rb"\0[^\0]\0[^\0]"), "utf-16-be"),
)
"""The first bytes of two ASCII characters, with which JSON and Base64 begin (RFC 4627, 3)."""
_BYTES_LITERAL = re.compile(
    rb"b(?:'(?:[ -&(-\[\]-~]|\\[\\'nrt]|\\x[0-9a-f]{2})*'"
    rb'|"(?:[ !#-\[\]-~]|\\[\\"nrt]|\\x[0-9a-f]{2})*")'
)
"""What ``repr`` of Python writes for bytes, and nothing else of the language."""
_LEADING = re.compile(rb"(?:\xef\xbb\xbf|[ \t\r\n])*")
"""Space, and byte order marks of texts that were joined. It matches always."""
_WORD = re.compile(rb"[A-Za-z0-9_-]{1,12}")
"""What is more often a word, such as Online, than Base64 of something binary."""
_HEX_JSON = re.compile(rb"[57][Bb](?:[0-9A-Fa-f]{2})+")
"""An object or an array in hexadecimal digits. As Base64 it would begin with no JSON."""
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\r\n-]+(={0,2})[\r\n]*")


_CURLY = rb"(?:\xe2\x80[\x98-\x9f]|\xc2[\xab\xbb])"
"""A typographic quotation mark in UTF-8: one of \u2018 to \u201f, or a guillemet."""

Decode = Callable[[bytes], Any]
"""Reads an unwrapped text: ``decode``, or ``decode_dropping`` with its list."""


@value_class
class Encoding:
    """One row of the table."""

    begins: re.Pattern[bytes]
    """Matches the beginning of a text in this encoding, and of nothing else that is in the table
    below it."""
    read: Callable[[bytes], bytes] | None = None
    """What is inside; None if this encoding is not read, but named."""
    sentence: str = ""
    """What it is, and how its writer sends JSON instead."""


def unwrap(body: bytes) -> bytes:
    """The JSON text of a body, in UTF-8. Raises Malformed or TooLarge."""
    if body[:1] in (b"{", b"[") and body[1:2] != b"\0":  # the common case
        return body.strip(_SPACE)
    text = to_utf8(body)
    for _ in range(MAX_LAYERS + 1):
        if text[:1] in (b"{", b"["):
            return text
        text = to_utf8(_unwrap_once(text))
    raise Malformed(f"It is wrapped in Base64 or quotes more than {MAX_LAYERS} times.")


def decode(text: bytes) -> Any:
    """The JSON value of an unwrapped text. Raises Malformed; its sentence names what it is instead.

    This is for what begins like JSON and is none, such as a dict of Python as text.
    """
    try:
        return strict_json.decode(text)
    except Malformed as error:
        raise explained(text, error) from None


def explained(text: bytes, error: Malformed) -> Malformed:
    """The error of a text that begins like JSON, or a better one: what the text is instead."""
    return Malformed(_named(text, LIKE_JSON) or str(error))


def decode_dropping(text: bytes, dropped: list[str]) -> Any:
    """Like ``decode``, without bad fields; what is dropped is added to ``dropped``."""
    try:
        value, sentences = strict_json.decode_dropping(text)
    except Malformed as error:
        raise explained(text, error) from None
    dropped += sentences
    return value


def inner(value: Any, decode: Decode = decode) -> Any:
    """The object or array in a member that must be one: as it is, or in a text of any encoding.

    Any other value is returned unchanged. Raises Malformed for a text that holds broken JSON.
    """
    if type(value) is not str:
        return value
    try:
        text = unwrap(value.encode(errors="surrogatepass"))
    except Refused:
        return value
    try:
        return decode(text)
    except Malformed as error:
        raise Malformed(f"It has JSON as text that cannot be read. {error}") from None


def why_not(text: str) -> str:
    """Why a text, or the word of a command, is no JSON in any encoding; empty if it is."""
    try:
        unwrap(text.encode(errors="surrogateescape"))
    except Refused as error:
        return str(error)
    return ""


def begun(text: bytes) -> str:
    """The JSON text of which this is the beginning, as it is or in Base64; empty if it is none."""
    text = text.strip(_SPACE)
    for _ in range(MAX_LAYERS):
        digits = text.translate(None, b"=\r\n")
        if text[:1] in (b"{", b"[") or len(digits) < 4 or not _BASE64.fullmatch(text):
            break
        text = from_base64(digits[: len(digits) // 4 * 4]).strip(_SPACE)
    return text.decode(errors="replace") if text[:1] in (b"{", b"[") else ""


def to_utf8(body: bytes) -> bytes:
    """The text in UTF-8, without a byte order mark and space around it. Raises Malformed."""
    charset = charset_of(body)
    if charset is not None:
        try:
            body = body.decode(charset).removeprefix("\ufeff").encode()
        except UnicodeDecodeError as error:
            name = charset.upper().removesuffix("-LE").removesuffix("-BE")
            raise Malformed(
                f"It is not text in {name}, as which it begins (byte {error.start + 1} is wrong); "
                "send UTF-8."
            ) from None
    return body[_LEADING.match(body).end() :].rstrip(_SPACE)  # type: ignore[union-attr]


def charset_of(body: bytes) -> str | None:
    """The encoding that the first bytes say; None for UTF-8 without a mark."""
    for mark, charset in _MARKS:
        if body.startswith(mark):
            return charset
    if b"\0" in body[:4]:
        for pattern, charset in _UNMARKED:
            if pattern.match(body):
                return charset
    return None


def from_base64(text: bytes) -> bytes:
    """Decode Base64 in either alphabet, with or without line breaks and padding.

    Raises Malformed for text that lenient decoders repair.
    """
    found = _BASE64.fullmatch(text)
    if found is None:
        raise Malformed(UNKNOWN)
    digits = text.translate(None, b"=\r\n")
    if digits.translate(None, b"-_") != digits:
        if digits.translate(None, b"+/") != digits:
            raise Malformed(
                "It is Base64 in two alphabets at once: with - or _, and with + or /; "
                "encode it with one of them."
            )
        digits = digits.replace(b"-", b"+").replace(b"_", b"/")
    missing = -len(digits) % 4
    if missing == 3 or (found[1] and len(found[1]) != missing):
        length = len(digits) + len(found[1])
        raise Malformed(f"{UNKNOWN[:-1]}: {length} characters are no multiple of 4.")
    try:
        return base64.b64decode(digits + b"=" * missing, validate=True)
    except binascii.Error as error:
        raise Malformed(f"{UNKNOWN[:-1]} ({error}).") from None


def _unwrap_once(text: bytes) -> bytes:
    if not text:
        raise Malformed("It is empty.")
    if len(text) > MAX_WRAPPED_BYTES:
        raise TooLarge(
            f"It has {len(text)} bytes; a message in Base64 or quotes has at most "
            f"{MAX_WRAPPED_BYTES}."
        )
    for encoding in TABLE:
        if encoding.begins.match(text):
            if encoding.read is None:
                raise Malformed(encoding.sentence)
            return encoding.read(text)
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"It is not text in UTF-8 (byte {error.start + 1}); {BINARY}") from None
    raise Malformed(UNKNOWN)


def _named(text: bytes, table: tuple[Encoding, ...]) -> str:
    """The sentence of the first row that is not read and matches; else empty."""
    return next((row.sentence for row in table if not row.read and row.begins.match(text)), "")


def _json_string(text: bytes) -> bytes:
    content: str = strict_json.decode(text)
    return content.encode()


def _bytes_literal(text: bytes) -> bytes:
    """The bytes that Python's ``str(data)`` shows as ``b'...'``."""
    if not _BYTES_LITERAL.fullmatch(text):
        raise Malformed(
            "It begins like Python's b'...', the text of bytes, and does not end like it; "
            "send data.decode() instead of str(data)."
        )
    content: bytes = ast.literal_eval(text.decode())
    return content


def _base64_text(text: bytes) -> bytes:
    content = to_utf8(from_base64(text))
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise Malformed(_named(content, TABLE) or _not_text(text, error.start + 1)) from None
    return content


def _not_text(text: bytes, byte: int) -> str:
    """The sentence of digits of Base64 that hold no text, and may be no Base64 at all."""
    if _HEX_JSON.fullmatch(text):
        return "It is JSON in hexadecimal digits; send the JSON as it was before."
    what = f"Base64 of something that is not text in UTF-8 (byte {byte})"
    if _WORD.fullmatch(text):
        return f"It is a word, or {what}; {OBJECT}"
    return f"It is {what}; {BINARY}"


def _row(begins: bytes, read: Callable[[bytes], bytes] | None = None, text: str = "") -> Encoding:
    return Encoding(re.compile(begins, re.DOTALL), read, text)


TABLE = (
    _row(rb'"', _json_string),
    _row(rb"b['\"]", _bytes_literal),
    _row(
        rb"\x1f\x8b|PK\x03\x04|\x78[\x01\x5e\x9c\xda]|\x28\xb5\x2f\xfd|BZh",
        text="It is compressed (gzip, zlib, zip or zstd); send the JSON as it was before.",
    ),
    _row(rb"Obj\x01", text="It is a file of Avro; send its records as JSON."),
    _row(rb"<", text="It is XML or HTML; send JSON."),
    _row(rb"'", text="It stands in single quotes, which a shell removes; send the JSON inside."),
    _row(
        rb"(?:[\w.~-]+=)?%(?:25)*(?i:7b|5b|22)",
        text="It is percent-encoded, like a part of a URL or a form; send the JSON as it was "
        "before.",
    ),
    _row(rb"data: ", text="It is a line of server-sent events; send the JSON after data:."),
    _row(rb"data:", text="It is a data: URL; send the JSON inside."),
    _row(_CURLY, text=CURLY),
    _row(rb"/\*|(?://|#)[ \t]", text="It begins with a comment, which JSON has not; leave it out."),
    _row(rb"---\s|(?:- +)?[\w.-]+:(?:[ \t\r\n]|\Z)", text=f"It is YAML, not JSON; {OBJECT}"),
    _row(
        rb"(?:System\.|@\{)",
        text="It is how PowerShell or .NET shows an object; send the result of ConvertTo-Json or "
        "JsonSerializer.",
    ),
    _row(
        rb"(?:true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\Z",
        text='A message is a JSON object, like {"device": "pillow", "state": {}}; this is a number '
        "or true, false or null.",
    ),
    _row(
        rb"[\w.~-]+[ \t]*=[ \t]*[^=\s]",
        text=f"{UNKNOWN} Fields like mood=happy are for `statecast send DEVICE`; send an object "
        'like {"device": "pillow", "state": {"mood": "happy"}}.',
    ),
    _row(rb"[A-Za-z0-9+/_-]", _base64_text),
)
"""What a text that is no JSON may be, by its first bytes. The first row that matches counts."""

LIKE_JSON = (
    _row(rb"[{\[\s]*[{\[]\s*" + _CURLY, text=CURLY),
    _row(
        rb"\[object ",
        text="It is what JavaScript shows for an object; send JSON.stringify(message).",
    ),
    _row(
        rb"[{\[\s]*[{\[]\s*'",
        text="It is Python's text of a dict, with single quotes; send json.dumps(message).",
    ),
    _row(
        rb"[{\[\s]*[{\[]\s*(?:&quot;|&#34;|&#x22;)",
        text="It is escaped for XML or HTML (with &quot;); send the JSON as it was before.",
    ),
    _row(
        rb'[{\[\s]*[{\[]\s*\\+"',
        text="Its quotes are escaped with backslashes, as inside of another text; send the JSON as "
        "it was before.",
    ),
    _row(
        rb"[{\[\s]*\{\s*[A-Za-z_]",
        text="The names of its members lack their double quotes, which some shells remove; in "
        'PowerShell and cmd write them as \\".',
    ),
)
"""What begins like JSON and is none."""

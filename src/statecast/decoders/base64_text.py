"""Tells Base64 and plain text apart, without guessing: some programs encode their messages.

Rule 1: a message is an object or an array. Neither ``{`` nor ``[`` is in the alphabet of Base64, so
a text that begins with one of them is JSON, and every other text is not.
Rule 2: a text in quotes is a JSON string that contains the message. Anything else must be strict
Base64 (alphabet, length, padding) of text in UTF-8. Both may be nested, at most three deep.
"""

from __future__ import annotations

import base64
import binascii
import re

from statecast import strict_json
from statecast.errors import Malformed, TooLarge

MAX_LAYERS = 3
MAX_WRAPPED_BYTES = 1_048_576
"""Of a text before it is unwrapped. No text queue accepts more."""

_MARK = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_URL_SAFE = re.compile(rb"[A-Za-z0-9_-]+={0,2}")


def unwrap(body: bytes) -> bytes:
    """The JSON text of a body, unwrapped if necessary. Raises Malformed or TooLarge."""
    text = _strip(body)
    for _ in range(MAX_LAYERS + 1):
        if text[:1] in (b"{", b"["):
            return text
        text = _strip(_unwrap_once(text))
    raise Malformed(f"It is wrapped in Base64 or quotes more than {MAX_LAYERS} times.")


def from_base64(text: bytes) -> bytes:
    """Decode strict Base64. Raises Malformed for text that lenient decoders repair."""
    if _BASE64.fullmatch(text) is None:
        raise Malformed(_not_base64(text))
    if len(text) % 4:
        raise Malformed(
            f"It is neither JSON nor Base64: {len(text)} characters are no multiple of 4."
        )
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise Malformed(f"It is neither JSON nor Base64 ({error}).") from None


def _unwrap_once(text: bytes) -> bytes:
    if not text:
        raise Malformed("It is empty.")
    if len(text) > MAX_WRAPPED_BYTES:
        raise TooLarge(
            f"It has {len(text)} bytes; a message in Base64 or quotes has at most "
            f"{MAX_WRAPPED_BYTES}."
        )
    if text[:1] == b'"':
        content: str = strict_json.decode(text)
        return content.encode()
    decoded = from_base64(text)
    try:
        decoded.decode()
    except UnicodeDecodeError as error:
        raise Malformed(
            f"It is Base64 of something that is not text in UTF-8 (byte {error.start + 1})."
        ) from None
    return decoded


def _strip(text: bytes) -> bytes:
    return text.strip(_SPACE).removeprefix(_MARK).strip(_SPACE)


def _not_base64(text: bytes) -> str:
    if _URL_SAFE.fullmatch(text):
        return (
            "It is Base64 in the alphabet for URLs (with - and _); queues use the one with + and /."
        )
    return "It is neither JSON (an object or an array) nor Base64."

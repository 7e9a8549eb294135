"""Base64 or plain text, told apart without guessing: what some programs put into a text queue, others wrap first.

Rule 1: only an object or an array is a message. Neither ``{`` nor ``[`` is in the alphabet of Base64, so a text that
begins with one of them is JSON and every other text is not.
Rule 2: a text in quotes is a JSON string, which holds the message. Anything else must be Base64 to the letter (its
alphabet, its length, its padding) of text in UTF-8. Either may be wrapped again, three times at most.
"""

from __future__ import annotations

import base64
import binascii
import re

from statecast import strict_json
from statecast.errors import Malformed, TooLarge

MOST_LAYERS = 3
MOST_BYTES = 1_048_576
"""Of a text that is still wrapped; no text queue takes more."""

_MARK = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_URL_SAFE = re.compile(rb"[A-Za-z0-9_-]+={0,2}")


def unwrap(body: bytes) -> bytes:
    """The JSON text in a body: itself, or what lies inside. Raises Malformed or TooLarge with a sentence."""
    text = _bare(body)
    for _ in range(MOST_LAYERS + 1):
        if text[:1] in (b"{", b"["):
            return text
        text = _bare(_inside(text))
    raise Malformed(f"It is wrapped in Base64 or quotes more than {MOST_LAYERS} times.")


def from_base64(text: bytes) -> bytes:
    """Strict: what lenient readers would skip or cut off is refused. Raises Malformed."""
    if _BASE64.fullmatch(text) is None:
        raise Malformed(_sentence(text))
    if len(text) % 4:
        raise Malformed(
            f"It is neither JSON nor Base64: {len(text)} characters are no multiple of 4."
        )
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise Malformed(f"It is neither JSON nor Base64 ({error}).") from None


def _inside(text: bytes) -> bytes:
    if not text:
        raise Malformed("It is empty.")
    if len(text) > MOST_BYTES:
        raise TooLarge(
            f"It has {len(text)} bytes; a message in Base64 or quotes has at most {MOST_BYTES}."
        )
    if text[:1] == b'"':
        held = strict_json.decode(text)
        return str.encode(held)
    decoded = from_base64(text)
    try:
        decoded.decode()
    except UnicodeDecodeError as error:
        raise Malformed(
            f"It is Base64 of something that is not text in UTF-8 (byte {error.start + 1})."
        ) from None
    return decoded


def _bare(text: bytes) -> bytes:
    return text.strip(_SPACE).removeprefix(_MARK).strip(_SPACE)


def _sentence(text: bytes) -> str:
    if _URL_SAFE.fullmatch(text):
        return (
            "It is Base64 in the alphabet for URLs (with - and _); queues use the one with + and /."
        )
    return "It is neither JSON (an object or an array) nor Base64."

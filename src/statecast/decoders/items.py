"""The messages in one delivery: one, the items of an array, or one per line (JSON lines).

Rule 1: items are independent, each with its own limits. A refused one does not affect the others.
Rule 2: a text of several lines that all begin with { and end with } is JSON lines. No single object
is written like that, so nothing is guessed, and a broken line has an end.
"""

from __future__ import annotations

from statecast import strict_json
from statecast.decoders import encodings
from statecast.errors import Malformed, TooLarge

MAX_ARRAY_BYTES = 1_048_576
MAX_ITEMS = 1_000


def split(text: bytes) -> list[bytes] | None:
    """The JSON texts of the items, unchanged; None if the text is one message. Raises Refused.

    ``text`` is unwrapped: it begins with { or [.
    """
    if text[:1] == b"[":
        items = _array(_bounded(text))
    elif b"\n" in text and are_messages(lines := _lines(text)):
        _bounded(text)
        items = lines
    else:
        return None
    if len(items) > MAX_ITEMS:
        raise TooLarge(f"The array holds {len(items)} messages; at most {MAX_ITEMS} are allowed.")
    return items


def are_messages(lines: list[bytes]) -> bool:
    """Whether these lines are JSON lines: see rule 2."""
    return len(lines) > 1 and all(line[:1] == b"{" and line[-1:] == b"}" for line in lines)


def _lines(text: bytes) -> list[bytes]:
    return [line for one in text.split(b"\n") if (line := one.strip())]


def _array(text: bytes) -> list[bytes]:
    try:
        items = strict_json.split_array(text.decode())
    except Malformed as error:
        raise encodings.explained(text, error) from None
    except UnicodeDecodeError as error:
        raise Malformed(f"It is not text in UTF-8 (byte {error.start + 1} is wrong).") from None
    if not items:
        raise Malformed("The array holds no message.")
    return [item.encode(errors="surrogatepass") for item in items]


def _bounded(text: bytes) -> bytes:
    if len(text) > MAX_ARRAY_BYTES:
        raise TooLarge(
            f"It has {len(text)} bytes; an array of messages has at most {MAX_ARRAY_BYTES}."
        )
    return text

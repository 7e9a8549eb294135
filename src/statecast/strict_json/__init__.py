"""JSON that every reader understands alike.

::

    text.py      texts: reading and writing JSON, and what is refused
    dropping.py  texts without the members that are refused
    values.py    values of Python that an application gives
"""

from __future__ import annotations

from statecast.strict_json.dropping import decode_dropping
from statecast.strict_json.text import (
    HALF_CHARACTER,
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_MEMBERS,
    MAX_NAME,
    NO_NUMBER,
    TOO_DEEP,
    decode,
    decode_checked,
    decode_numbers,
    encode,
    encode_checked,
    encoded,
    for_html,
    split_array,
)
from statecast.strict_json.values import check, check_and_encode

__all__ = [
    "HALF_CHARACTER",
    "MAX_DEPTH",
    "MAX_INTEGER",
    "MAX_MEMBERS",
    "MAX_NAME",
    "NO_NUMBER",
    "TOO_DEEP",
    "check",
    "check_and_encode",
    "decode",
    "decode_checked",
    "decode_dropping",
    "decode_numbers",
    "encode",
    "encode_checked",
    "encoded",
    "for_html",
    "split_array",
]

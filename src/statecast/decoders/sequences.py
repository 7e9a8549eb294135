"""Vendors' sequences as whole numbers that keep their order, however long they are.

Azure's ``sequencer`` (48 hexadecimal digits) and ``sequenceNumber`` (64) are texts that shall be compared as texts.
Texts of one width compare as texts as they do as numbers, so they are read as numbers; where widths differ (counters
written as text, a vendor that widens its field) only the number is right. Python's integers have no end, and a
decimal text read as hexadecimal keeps its order too.
"""

from __future__ import annotations

import re
from typing import Any

from statecast.errors import Malformed

MOST_DIGITS = 64
_HEXADECIMAL = re.compile(rf"[0-9A-Fa-f]{{1,{MOST_DIGITS}}}", re.ASCII)


def number_of(value: Any) -> int:
    """The number of a sequence: an integer as it is, a text as hexadecimal. Raises Malformed."""
    if type(value) is int and value >= 0:
        return value
    if type(value) is str and _HEXADECIMAL.fullmatch(value):
        return int(value, 16)
    raise Malformed(
        f"Its sequence must be a whole number, 0 or above, or a text of at most {MOST_DIGITS} hexadecimal digits."
    )

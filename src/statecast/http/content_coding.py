"""What a client accepts of codings of a response (RFC 9110, 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable

REFUSED = re.compile(rb"[ \t]*q=0(\.0{0,3})?[ \t]*")
"""A weight that says no."""


def takes_gzip(fields: Iterable[bytes]) -> bool:
    """Whether the values of Accept-Encoding name gzip without refusing it.

    ``*`` does not count: clients name gzip.
    """
    for one in b",".join(fields).lower().split(b","):
        coding, _, weight = one.partition(b";")
        if coding.strip() == b"gzip":
            return REFUSED.fullmatch(weight) is None
    return False

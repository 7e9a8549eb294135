"""Codings of a response: what a client accepts (RFC 9110, 12.5.3), and gzip."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

GZIP = 31
"""As zlib's number of bits: a whole stream with the head of gzip. Python's own ``gzip`` does the
same and takes 60 KB more."""
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


def packed(body: bytes, level: int) -> bytes:
    """A body in the coding gzip."""
    return zlib.compress(body, level, GZIP)


def unpacked(body: bytes) -> bytes:
    return zlib.decompress(body, GZIP)

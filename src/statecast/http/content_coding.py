"""What a client accepts of codings of a response (RFC 9110, 12.5.3)."""

from __future__ import annotations

from collections.abc import Iterable

REFUSED = (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")


def takes_gzip(fields: Iterable[bytes]) -> bool:
    """Whether the values of Accept-Encoding name gzip without refusing it.

    ``*`` does not count: clients name gzip.
    """
    for one in b",".join(fields).lower().split(b","):
        coding, _, weight = one.partition(b";")
        if coding.strip() == b"gzip":
            return weight.replace(b" ", b"") not in REFUSED
    return False

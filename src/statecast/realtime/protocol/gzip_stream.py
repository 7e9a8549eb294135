"""A response with ``Content-Encoding: gzip`` (RFC 1952) that is made of blocks which viewers share.

What many viewers get is compressed once, as for WebSockets: ``deflate.deflate`` refers to nothing
before it and ends at a whole byte. So the same bytes continue the gzip stream of each viewer.

Rule 1: one stream is one member. Chromium and curl ignore everything after the first member.
Rule 2: what must not be compressed is in the stream as it is, in stored blocks.
Rule 3: a response that is over ends with the checksum of all its bytes. Until then a viewer costs
two integers.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from struct import pack

HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""No name, no time, no system."""
LONGEST_STORED = 65_535
"""Bytes of a stored block (RFC 1951, 3.2.4)."""
LAST_BLOCK = b"\x03\x00"
"""Empty and final."""
FIELD = (b"content-encoding", b"gzip")
VARY = (b"vary", b"accept-encoding")
"""Of a response that may be a gzip stream or not."""


class GzipEnd:
    """What the end of one stream says: the checksum and the length of its content."""

    __slots__ = ("_checksum", "_size")

    def __init__(self) -> None:
        self._checksum = 0
        self._size = 0

    def count(self, content: bytes) -> None:
        """The stream has said this, as it was before it was compressed."""
        self._checksum = zlib.crc32(content, self._checksum)
        self._size += len(content)

    def encode(self) -> bytes:
        """The last bytes of the stream."""
        return LAST_BLOCK + pack("<II", self._checksum, self._size & 0xFFFFFFFF)


def stored(content: bytes) -> bytes:
    """The blocks that have the content as it is."""
    parts = [
        content[first : first + LONGEST_STORED] for first in range(0, len(content), LONGEST_STORED)
    ]
    return b"".join(pack("<BHH", 0, len(part), len(part) ^ 0xFFFF) + part for part in parts)


def whole(parts: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A whole response: each part as it is, and the blocks that say it."""
    end = GzipEnd()

    def blocks() -> Iterator[bytes]:
        yield HEADER
        for content, block in parts:
            end.count(content)
            yield block
        yield end.encode()

    return b"".join(blocks())

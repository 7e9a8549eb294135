"""Compression (RFC 1951) of what viewers get and send, without I/O and without memory per viewer.

WebSocket: permessage-deflate (RFC 7692), each message by itself (no context takeover), so that the
same bytes serve every viewer that agreed to it.

Rule 1: what a client sends is inflated up to the limit of a message and not a byte further.
Rule 2: a compressed message ends with an empty block, so that messages can be joined; see ``TAIL``.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

from statecast.errors import TooLarge

EXTENSION = "permessage-deflate"
TAIL = b"\x00\x00\xff\xff"
"""The end of a compressed message: an empty block. A WebSocket leaves it out (RFC 7692, 7.2.1)."""
LEVEL, WINDOW, MEMORY = 3, -13, 7
"""For the sizes of our messages as good as zlib's defaults, at a third of the time: 5 us for 300
bytes, 20 for 16 KB, 900 for 256 KB."""
_AGREED = f"{EXTENSION}; server_no_context_takeover; client_no_context_takeover"
_PARAMETER = re.compile(r'\s*([a-z_]+)\s*(?:=\s*(?:(\d+)|"(\d+)")\s*)?', re.ASCII)
"""One of the four that there are: their values are numbers, if they have any."""
_BITS = frozenset(map(str, range(8, 16)))


def agreed(offers: Iterable[str]) -> str | None:
    """The header field with which a server agrees to one of a client's offers; None: to none.

    ``offers`` are the values of ``Sec-WebSocket-Extensions``. An offer that is malformed, or wants
    a smaller window than all viewers have, is passed over.
    """
    for value in offers:
        for offer in value.split(","):
            wanted = _parameters(offer)
            if wanted is not None and wanted.get("server_max_window_bits", "15") == "15":
                bits = "; server_max_window_bits=15" if "server_max_window_bits" in wanted else ""
                return _AGREED + bits
    return None


def _parameters(offer: str) -> dict[str, str | None] | None:
    """The parameters of an offer of this extension; None if it is none, or malformed."""
    name, *parts = offer.split(";")
    if name.strip() != EXTENSION:
        return None
    found: dict[str, str | None] = {}
    for part in parts:
        parsed = _PARAMETER.fullmatch(part)
        if parsed is None or parsed[1] in found or not _may_be(parsed[1], parsed[2] or parsed[3]):
            return None
        found[parsed[1]] = parsed[2] or parsed[3]
    return found


def _may_be(name: str, value: str | None) -> bool:
    if name in ("server_no_context_takeover", "client_no_context_takeover"):
        return value is None
    if name == "client_max_window_bits":
        return value is None or value in _BITS
    return name == "server_max_window_bits" and value in _BITS


def deflate(data: bytes) -> bytes:
    """Compressed by itself; ends with ``TAIL``."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW, MEMORY)
    return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)


def inflate(message: bytes, limit: int) -> bytes:
    """What a client has compressed. Raises TooLarge above ``limit`` bytes, and zlib.error."""
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    data = decompressor.decompress(message + TAIL, limit + 1)
    if len(data) > limit:
        raise TooLarge(f"a message may have {limit} bytes (max_payload)")
    # After a last block only the empty one that the sender left out may follow.
    if decompressor.eof and decompressor.unused_data not in (TAIL, b"\x00" + TAIL):
        raise zlib.error("there is more after the last block")
    return data

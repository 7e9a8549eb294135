"""WebSocket, the server's side of RFC 6455, without I/O: bytes in, events out; payloads in, frames out.

Rule 1: a frame is refused by its head; nothing beyond the limit is ever kept.
Rule 2: a control frame may come between two fragments and is handed out at once.
Rule 3: a violation is the last event; whoever sees one feeds no more.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
from struct import pack
from typing import NamedTuple

from statecast.errors import Malformed

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
NO_CODE = 1005
NOT_TEXT = 1007
AGAINST_POLICY = 1008
TOO_BIG = 1009
SERVER_ERROR = 1011
RESTARTING = 1012

MOST_CONTROL = 125
"""Bytes the payload of a control frame may have."""
MOST_FRAGMENTS = 256
"""Fragments one message may have, besides one per KiB of its limit: in tiny ones a message costs us far more than its
sender. Empty ones never reach the limit on bytes and weigh ``EMPTY_WEIGHT`` each."""
EMPTY_WEIGHT = 20

_ACCEPT_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CODES_ON_THE_WIRE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


class Violation(Malformed):
    """The peer broke the protocol; ``code`` is what the close frame says."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Event(NamedTuple):
    """A whole message (its text or its bytes) or a control frame (its payload)."""

    opcode: int
    payload: str | bytes


def accept(key: bytes) -> bytes:
    """The proof that we speak WebSocket, for the client's ``Sec-WebSocket-Key``."""
    return base64.b64encode(hashlib.sha1(key + _ACCEPT_SALT, usedforsecurity=False).digest())


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One whole message as the server sends it: unmasked, so the same bytes serve every viewer."""
    size = len(payload)
    if size < 126:
        return pack("!BB", 0x80 | opcode, size) + payload
    if size < 65_536:
        return pack("!BBH", 0x80 | opcode, 126, size) + payload
    return pack("!BBQ", 0x80 | opcode, 127, size) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """``NO_CODE`` makes an empty one; the reason is cut to what fits."""
    if code == NO_CODE:
        return frame(b"", CLOSE)
    short = reason.encode()[: MOST_CONTROL - 2].decode("utf-8", "ignore")
    return frame(pack("!H", code) + short.encode(), CLOSE)


def close_code(payload: str | bytes) -> int:
    """The code of a close frame that a ``Parser`` has let through."""
    assert isinstance(payload, bytes)
    return int.from_bytes(payload[:2], "big") if payload else NO_CODE


def unmask(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    stream = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(stream, "little")).to_bytes(
        size, "little"
    )


class Parser:
    """Turns what one client sends into events. An idle one holds no buffer."""

    __slots__ = ("_buffer", "_fragments", "_message", "_opcode", "_utf8", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Bytes one message may have, over all its fragments."""
        self._buffer: bytearray | None = None
        self._message: bytearray | None = None
        self._opcode = CONTINUATION
        self._utf8: codecs.IncrementalDecoder | None = None
        self._fragments = 0

    def feed(self, data: bytes) -> None:
        if self._buffer is None:
            self._buffer = bytearray(data)
        else:
            self._buffer += data

    def next_event(self) -> Event | None:
        """The next message or control frame, None when more bytes are needed. Raises Violation."""
        while True:
            taken = self._take_frame()
            if taken is None:
                return None
            final, opcode, payload = taken
            if opcode == CLOSE:
                _check_close(payload)
            if opcode >= CLOSE:
                return Event(opcode, payload)
            event = self._assemble(final, opcode, payload)
            if event is not None:
                return event

    def _take_frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if buffer is None or len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        self._check_head(first, second)
        size, start = second & 0x7F, 6
        if size > MOST_CONTROL:
            start = 8 if size == 126 else 14
            if len(buffer) < start - 4:
                return None
            size = int.from_bytes(buffer[2 : start - 4], "big")
            if size < (126 if start == 8 else 65_536):
                raise Violation(PROTOCOL_ERROR, "the length of a frame is not in its shortest form")
        self._check_size(first & 0x0F, size)
        end = start + size
        if len(buffer) < end:
            return None
        payload = unmask(bytes(buffer[start:end]), bytes(buffer[start - 4 : start]))
        if end == len(buffer):
            self._buffer = None
        else:
            del buffer[:end]
        return first >= 0x80, first & 0x0F, payload

    def _check_head(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise Violation(
                PROTOCOL_ERROR, "a reserved bit is set although no extension was agreed"
            )
        if not second & 0x80:
            raise Violation(PROTOCOL_ERROR, "a frame from a client must be masked")
        if opcode > PONG or BINARY < opcode < CLOSE:
            raise Violation(PROTOCOL_ERROR, f"the frame type {opcode} does not exist")
        if opcode >= CLOSE:
            if first < 0x80:
                raise Violation(PROTOCOL_ERROR, "a control frame must not be fragmented")
            if second & 0x7F > MOST_CONTROL:
                raise Violation(PROTOCOL_ERROR, f"a control frame has at most {MOST_CONTROL} bytes")
        elif (opcode == CONTINUATION) != (self._message is not None):
            if opcode == CONTINUATION:
                raise Violation(PROTOCOL_ERROR, "a continuation without a message to continue")
            raise Violation(PROTOCOL_ERROR, "a new message before the last one was complete")

    def _check_size(self, opcode: int, size: int) -> None:
        if size >> 63:
            raise Violation(PROTOCOL_ERROR, "the length of a frame has its highest bit set")
        had = len(self._message) if self._message is not None and opcode == CONTINUATION else 0
        if opcode < CLOSE and had + size > self.limit:
            raise Violation(TOO_BIG, f"a message may have {self.limit} bytes")

    def _assemble(self, final: bool, opcode: int, payload: bytes) -> Event | None:
        if final and opcode != CONTINUATION:
            return Event(opcode, _text(payload) if opcode == TEXT else payload)
        if self._message is None:
            self._message, self._opcode, self._fragments = bytearray(), opcode, 0
            self._utf8 = codecs.getincrementaldecoder("utf-8")() if opcode == TEXT else None
        if not final:
            self._count_fragment(payload)
        self._message += payload
        if self._utf8 is not None:
            _text_so_far(self._utf8, payload, final)
        if not final:
            return None
        whole, self._message, self._utf8 = bytes(self._message), None, None
        return Event(self._opcode, whole.decode() if self._opcode == TEXT else whole)

    def _count_fragment(self, payload: bytes) -> None:
        self._fragments += 1 if payload else EMPTY_WEIGHT
        if self._fragments > MOST_FRAGMENTS + self.limit // 1024:
            raise Violation(AGAINST_POLICY, "a message came in too many fragments")


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise Violation(NOT_TEXT, "a text message is not UTF-8") from None


def _text_so_far(decoder: codecs.IncrementalDecoder, payload: bytes, final: bool) -> None:
    """A text that is wrong fails at the fragment in which it goes wrong."""
    try:
        decoder.decode(payload, final)
    except UnicodeDecodeError:
        raise Violation(NOT_TEXT, "a text message is not UTF-8") from None


def _check_close(payload: bytes) -> None:
    if not payload:
        return
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _CODES_ON_THE_WIRE or 3000 <= code < 5000):
        raise Violation(PROTOCOL_ERROR, "a close frame has a code that may not be sent")
    _text(payload[2:])

"""WebSocket (RFC 6455), the server's side, without I/O: bytes to events, payloads to frames.

Rule 1: a frame is refused by its head; nothing beyond the limit is ever kept.
Rule 2: a control frame may arrive between two fragments and is returned at once.
Rule 3: after a RemoteProtocolError the parser is fed no more.
"""

from __future__ import annotations

import binascii
import codecs
import hashlib
import zlib
from struct import pack
from typing import NamedTuple

from statecast.errors import Malformed, TooLarge
from statecast.realtime.protocol import deflate

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

# Close codes, by IANA's names: https://www.iana.org/assignments/websocket/websocket.xhtml
NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
NO_STATUS_RECEIVED = 1005
INVALID_DATA = 1007
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012

WHOLE_TEXT, MASKED = 0x80 | TEXT, 0x80
"""The first byte of nearly every frame, and the bit of the second that each client must set."""
FINAL, COMPRESSED = 0x80, 0x40
"""Bits of the first byte: the last frame of a message, and the first one of a compressed one."""
MAX_CONTROL_BYTES = 125
"""Bytes the payload of a control frame may have."""
MAX_FRAGMENTS = 256
"""Fragments one message may have, besides one per KiB of its limit: a message in tiny fragments
costs the server far more than its sender. Empty fragments never reach the limit on bytes, so each
of them counts ``EMPTY_WEIGHT`` times."""
EMPTY_WEIGHT = 20

_ACCEPT_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CODES_ON_THE_WIRE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


class RemoteProtocolError(Malformed):
    """The peer broke the protocol or a limit; ``code`` is what the close frame says."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class WebSocketEvent(NamedTuple):
    """A whole message (its text or its bytes) or a control frame (its payload)."""

    opcode: int
    payload: str | bytes


def accept_value(key: bytes) -> bytes:
    """``Sec-WebSocket-Accept`` for the client's ``Sec-WebSocket-Key``."""
    digest = hashlib.sha1(key + _ACCEPT_SALT, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False)


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One whole message as the server sends it: unmasked, so the same bytes serve every viewer."""
    size = len(payload)
    if size < 126:
        return pack("!BB", FINAL | opcode, size) + payload
    if size < 65_536:
        return pack("!BBH", FINAL | opcode, 126, size) + payload
    return pack("!BBQ", FINAL | opcode, 127, size) + payload


def compressed_frame(deflated: bytes) -> bytes:
    """The frame of a text that ``deflate.deflate`` has compressed."""
    return frame(deflated[: -len(deflate.TAIL)], COMPRESSED | TEXT)


def close_frame(code: int, reason: str = "") -> bytes:
    """``NO_STATUS_RECEIVED`` makes an empty one; the reason is cut to what fits."""
    if code == NO_STATUS_RECEIVED:
        return frame(b"", CLOSE)
    short = reason.encode()[: MAX_CONTROL_BYTES - 2].decode("utf-8", "ignore")
    return frame(pack("!H", code) + short.encode(), CLOSE)


def close_code(payload: str | bytes) -> int:
    """The code in a close frame that a ``WebSocketParser`` has accepted."""
    assert isinstance(payload, bytes)
    return int.from_bytes(payload[:2], "big") if payload else NO_STATUS_RECEIVED


def unmask(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    stream = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(stream, "little")).to_bytes(
        size, "little"
    )


class WebSocketParser:
    """Turns a client's bytes into events. It has a buffer only while a frame is incomplete."""

    __slots__ = (
        "_buffer",
        "_compressed",
        "_fragments",
        "_message",
        "_opcode",
        "_refused_bits",
        "_utf8",
        "limit",
    )

    def __init__(self, limit: int, *, compressed: bool = False) -> None:
        """With ``compressed`` the client may compress its messages."""
        self.limit = limit
        """Bytes one message may have, over all its fragments, and before it was compressed."""
        self._refused_bits = 0x30 if compressed else 0x70
        """Reserved bits of the first byte that no extension was agreed for."""
        self._compressed = False
        """The unfinished message is."""
        self._buffer: bytes | bytearray | None = None
        """Received, but not yet a whole frame; bytes as long as they are those of one read."""
        self._message: bytearray | None = None
        """The fragments of the unfinished message."""
        self._opcode = CONTINUATION
        """TEXT or BINARY: the type of the unfinished message."""
        self._utf8: codecs.IncrementalDecoder | None = None
        """Checks an unfinished text, fragment by fragment."""
        self._fragments = 0
        """The weight of the unfinished message's fragments."""

    @property
    def unread(self) -> int:
        """Bytes that were fed and are no event yet."""
        return 0 if self._buffer is None else len(self._buffer)

    def feed(self, data: bytes) -> None:
        if self._buffer is None:
            self._buffer = data
        elif isinstance(self._buffer, bytearray):
            self._buffer += data
        else:
            self._buffer = bytearray(self._buffer) + data

    def next_event(self) -> WebSocketEvent | None:
        """The next message or control frame; None if more bytes are needed.

        Raises RemoteProtocolError.
        """
        while True:
            taken = self._take_frame()
            if taken is None:
                return None
            first, payload = taken
            opcode = first & 0x0F
            if opcode == CLOSE:
                _check_close(payload)
            if opcode >= CLOSE:
                return WebSocketEvent(opcode, payload)
            event = self._assemble(first, opcode, payload)
            if event is not None:
                return event

    def _take_frame(self) -> tuple[int, bytes] | None:
        """The first byte of a frame, and its payload."""
        buffer = self._buffer
        if buffer is None or len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        if first != WHOLE_TEXT or second < MASKED or self._message is not None:
            self._check_head(first, second)
        size, start = second & 0x7F, 6
        if size > MAX_CONTROL_BYTES:
            start = 8 if size == 126 else 14
            if len(buffer) < start - 4:
                return None
            size = int.from_bytes(buffer[2 : start - 4], "big")
            if size < (126 if start == 8 else 65_536):
                raise RemoteProtocolError(
                    PROTOCOL_ERROR, "the length of a frame is not in its shortest form"
                )
        if size > self.limit or self._message is not None:
            self._check_size(first & 0x0F, size)
        end = start + size
        if len(buffer) < end:
            return None
        payload = unmask(bytes(buffer[start:end]), bytes(buffer[start - 4 : start]))
        if end == len(buffer):
            self._buffer = None
        elif isinstance(buffer, bytearray):
            del buffer[:end]
        else:
            self._buffer = bytearray(buffer[end:])
        return first, payload

    def _check_head(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        begins = opcode in (TEXT, BINARY)
        if first & (self._refused_bits if begins else 0x70):
            raise RemoteProtocolError(
                PROTOCOL_ERROR, "a reserved bit is set although no extension was agreed"
            )
        if not second & 0x80:
            raise RemoteProtocolError(PROTOCOL_ERROR, "a frame from a client must be masked")
        if opcode > PONG or BINARY < opcode < CLOSE:
            raise RemoteProtocolError(PROTOCOL_ERROR, f"the frame type {opcode} does not exist")
        if opcode >= CLOSE:
            if first < 0x80:
                raise RemoteProtocolError(PROTOCOL_ERROR, "a control frame must not be fragmented")
            if second & 0x7F > MAX_CONTROL_BYTES:
                raise RemoteProtocolError(
                    PROTOCOL_ERROR, f"a control frame has at most {MAX_CONTROL_BYTES} bytes"
                )
        elif (opcode == CONTINUATION) != (self._message is not None):
            if opcode == CONTINUATION:
                raise RemoteProtocolError(
                    PROTOCOL_ERROR, "a continuation without a message to continue"
                )
            raise RemoteProtocolError(
                PROTOCOL_ERROR, "a new message before the last one was complete"
            )

    def _check_size(self, opcode: int, size: int) -> None:
        if size >> 63:
            raise RemoteProtocolError(
                PROTOCOL_ERROR, "the length of a frame has its highest bit set"
            )
        had = len(self._message) if self._message is not None and opcode == CONTINUATION else 0
        if opcode < CLOSE and had + size > self.limit:
            raise RemoteProtocolError(
                MESSAGE_TOO_BIG, f"a message may have {self.limit} bytes (max_payload)"
            )

    def _assemble(self, first: int, opcode: int, payload: bytes) -> WebSocketEvent | None:
        final = first >= FINAL
        if opcode != CONTINUATION:
            self._compressed = bool(first & COMPRESSED)
            if final:
                return self._event(opcode, payload)
            self._message, self._opcode, self._fragments = bytearray(), opcode, 0
            # The text of a compressed message is not known before its end.
            checked = opcode == TEXT and not self._compressed
            self._utf8 = codecs.getincrementaldecoder("utf-8")() if checked else None
        assert self._message is not None
        if not final:
            self._count_fragment(payload)
        self._message += payload
        if self._utf8 is not None:
            _text_so_far(self._utf8, payload, final)
        if not final:
            return None
        whole, self._message, self._utf8 = bytes(self._message), None, None
        return self._event(self._opcode, whole)

    def _event(self, opcode: int, payload: bytes) -> WebSocketEvent:
        if self._compressed:
            payload = self._inflated(payload)
        return WebSocketEvent(opcode, _text(payload) if opcode == TEXT else payload)

    def _inflated(self, payload: bytes) -> bytes:
        try:
            return deflate.inflate(payload, self.limit)
        except TooLarge as error:
            raise RemoteProtocolError(MESSAGE_TOO_BIG, str(error)) from None
        except zlib.error:
            sentence = "a message is marked as compressed, and cannot be decompressed"
            raise RemoteProtocolError(INVALID_DATA, sentence) from None

    def _count_fragment(self, payload: bytes) -> None:
        self._fragments += 1 if payload else EMPTY_WEIGHT
        if self._fragments > MAX_FRAGMENTS + self.limit // 1024:
            raise RemoteProtocolError(POLICY_VIOLATION, "a message came in too many fragments")


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError(INVALID_DATA, "a text message is not UTF-8") from None


def _text_so_far(decoder: codecs.IncrementalDecoder, payload: bytes, final: bool) -> None:
    """Wrong UTF-8 is refused at the fragment in which it begins."""
    try:
        decoder.decode(payload, final)
    except UnicodeDecodeError:
        raise RemoteProtocolError(INVALID_DATA, "a text message is not UTF-8") from None


def _check_close(payload: bytes) -> None:
    if not payload:
        return
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _CODES_ON_THE_WIRE or 3000 <= code < 5000):
        raise RemoteProtocolError(PROTOCOL_ERROR, "a close frame has a code that may not be sent")
    _text(payload[2:])

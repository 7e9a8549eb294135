"""Socket.IO v5, without I/O: packets as text and binary attachments, both ways.

Packets from viewers are read strictly: what is not exactly a packet is refused.
"""

from __future__ import annotations

import binascii
import functools
import os
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from statecast import strict_json
from statecast.errors import Malformed, TooLarge

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = range(7)

MAX_ATTACHMENTS = 10
MAX_NAMESPACE = 128
CACHED_NAMES = 256
"""Names of events kept as JSON: an application has few."""
MAX_ID_DIGITS = 15
"""An acknowledgement's id stays a number that every client can hold."""
RESERVED = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)
"""Event names that only the protocol itself may use."""


SID_BYTES, CHECK_BYTES = 12, 3
"""Of randomness in a socket's id, and of a checksum, by which it is not taken for another text."""


def new_sid() -> str:
    """An id for a socket. It cannot be guessed."""
    random = os.urandom(SID_BYTES)
    return _base64url(random + _checksum(random))


def is_sid(text: str) -> bool:
    """Whether a text is an id of a socket, in whatever process. Of other texts of this length and
    alphabet one in 16 million seems to be one."""
    try:
        content = binascii.a2b_base64(text.replace("-", "+").replace("_", "/"), strict_mode=True)
    except ValueError:
        return False
    random = content[:SID_BYTES]
    return (
        len(content) == SID_BYTES + CHECK_BYTES
        and content[SID_BYTES:] == _checksum(random)
        and text == _base64url(content)
    )


def _checksum(random: bytes) -> bytes:
    return zlib.crc32(random).to_bytes(4, "big")[-CHECK_BYTES:]


def _base64url(content: bytes) -> str:
    encoded = binascii.b2a_base64(content, newline=False)
    return encoded.translate(bytes.maketrans(b"+/", b"-_")).decode()


class SocketIOPacket(NamedTuple):
    """One packet; ``data`` is what its JSON says, with the bytes of attachments in their places."""

    kind: int
    namespace: str = "/"
    id: int | None = None
    data: Any = None


JOIN = SocketIOPacket(CONNECT)
"""What nearly every client sends first."""


class PartialPacket:
    """A binary packet whose attachments are still to come."""

    __slots__ = ("_attachments", "_expected", "_packet", "size")

    def __init__(self, packet: SocketIOPacket, expected: int, size: int = 0) -> None:
        self._packet = packet
        self._expected = expected
        self._attachments: list[bytes] = []
        self.size = size
        """Bytes and characters of it so far."""

    @property
    def kind(self) -> int:
        return self._packet.kind

    @property
    def namespace(self) -> str:
        return self._packet.namespace

    @property
    def id(self) -> int | None:
        return self._packet.id

    def add(self, attachment: bytes) -> SocketIOPacket | None:
        """The packet once this was the last attachment."""
        self._attachments.append(attachment)
        self.size += len(attachment)
        if len(self._attachments) < self._expected:
            return None
        packet = self._packet
        return SocketIOPacket(
            packet.kind, packet.namespace, packet.id, _filled(packet.data, self._attachments)
        )


def parse(text: str) -> SocketIOPacket | PartialPacket:
    """Read the text of a packet. Raises Malformed or TooLarge."""
    if text == "0":
        return JOIN
    kind = "0123456".find(text[:1]) if text else -1
    if kind < 0 or kind == CONNECT_ERROR:
        raise Malformed("the type of a Socket.IO packet from a client is one of 0 1 2 3 5 6")
    at = 1
    attachments = 0
    if kind in (BINARY_EVENT, BINARY_ACK):
        attachments, at = _attachment_count(text)
    namespace, at = _namespace(text, at)
    number, at = _id(text, at)
    data = strict_json.decode(text[at:]) if at < len(text) else None
    packet = SocketIOPacket(kind, namespace, number, data)
    _check(packet, bool(text[at:]))
    if kind not in (BINARY_EVENT, BINARY_ACK):
        return packet
    _check_places(data, attachments)
    return PartialPacket(packet, attachments, len(text)) if attachments else packet


def _attachment_count(text: str) -> tuple[int, int]:
    end = text.find("-", 1, 8)
    digits = text[1:end]
    if end < 0 or not _is_number(digits):
        raise Malformed("a binary Socket.IO packet begins with the number of its attachments")
    if int(digits) > MAX_ATTACHMENTS:
        raise TooLarge(f"a Socket.IO packet has at most {MAX_ATTACHMENTS} attachments")
    return int(digits), end + 1


def _namespace(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] != "/":
        return "/", at
    end = text.find(",", at, at + MAX_NAMESPACE + 1)
    if end < 0:
        if len(text) - at > MAX_NAMESPACE:
            raise TooLarge(f"the name of a namespace has at most {MAX_NAMESPACE} characters")
        return text[at:], len(text)
    return text[at:end], end + 1


def _id(text: str, at: int) -> tuple[int | None, int]:
    end = at
    while end < len(text) and text[end] in "0123456789":
        end += 1
        if end - at > MAX_ID_DIGITS:
            raise TooLarge(f"the id of an acknowledgement has at most {MAX_ID_DIGITS} digits")
    return (int(text[at:end]), end) if end > at else (None, end)


def _check(packet: SocketIOPacket, has_data: bool) -> None:
    kind, data = packet.kind, packet.data
    if kind == CONNECT:
        if packet.id is not None or (has_data and not isinstance(data, dict)):
            raise Malformed("a Socket.IO connect packet carries an object or nothing")
    elif kind == DISCONNECT:
        if packet.id is not None or has_data:
            raise Malformed("a Socket.IO disconnect packet carries nothing")
    elif not isinstance(data, list):
        raise Malformed("a Socket.IO event or acknowledgement carries an array")
    elif kind in (ACK, BINARY_ACK):
        if packet.id is None:
            raise Malformed("a Socket.IO acknowledgement needs an id")
    elif not data or not isinstance(data[0], str):
        raise Malformed("a Socket.IO event begins with its name")
    elif data[0] in RESERVED:
        raise Malformed("this event name is reserved by Socket.IO")


def _check_places(data: Any, attachments: int) -> None:
    """Every attachment has exactly one place, and every place its attachment."""
    places = sorted(_places(data))
    if places != list(range(attachments)):
        raise Malformed("the places for attachments in a Socket.IO packet do not fit their number")


def _places(value: Any) -> list[int]:
    if isinstance(value, list):
        return [place for item in value for place in _places(item)]
    if not isinstance(value, dict):
        return []
    if value.get("_placeholder") is True:
        number = value.get("num")
        return [number if isinstance(number, int) and not isinstance(number, bool) else -1]
    return [place for item in value.values() for place in _places(item)]


def _filled(value: Any, attachments: Sequence[bytes]) -> Any:
    if isinstance(value, list):
        return [_filled(item, attachments) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("_placeholder") is True:
        return attachments[value["num"]]
    return {name: _filled(item, attachments) for name, item in value.items()}


def _emptied(value: Any, attachments: list[bytes]) -> Any:
    """The value with its bytes taken out into ``attachments``."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(value, (list, tuple)):
        return [_emptied(item, attachments) for item in value]
    if isinstance(value, dict):
        return {name: _emptied(item, attachments) for name, item in value.items()}
    return value


def _is_number(digits: str) -> bool:
    return digits.isascii() and digits.isdigit()


# What the server sends; the text includes Engine.IO's type for a message.


def encoded(arguments: Sequence[Any]) -> tuple[bytes, list[bytes]]:
    """The arguments as a JSON array, with a placeholder for each bytes object among them, and
    those. Raises Malformed."""
    try:
        return strict_json.check_and_encode(arguments), []
    except Malformed:  # bytes are no JSON; few events have some
        attachments: list[bytes] = []
        values = _emptied(arguments, attachments)
        if not attachments:
            raise
    return strict_json.check_and_encode(values), attachments


@functools.lru_cache(CACHED_NAMES)
def encoded_name(name: str) -> bytes:
    return strict_json.encode(name)


def head(kind: int, namespace: str = "/", number: int | None = None, attachments: int = 0) -> bytes:
    count = f"{attachments}-" if kind in (BINARY_EVENT, BINARY_ACK) else ""
    name = "" if namespace == "/" else namespace + ","
    return f"4{kind}{count}{name}{'' if number is None else number}".encode()


@functools.lru_cache(CACHED_NAMES)
def _event_begin(name: str, namespace: str) -> bytes:
    return head(EVENT, namespace) + b"[" + encoded_name(name) + b","


def event(name: str, argument: bytes, namespace: str = "/") -> bytes:
    """An event with one encoded argument."""
    return b"%b%b]" % (_event_begin(name, namespace), argument)


def event_of(
    name: str,
    arguments: bytes,
    namespace: str = "/",
    attachments: int = 0,
    number: int | None = None,
) -> bytes:
    """An event whose arguments come as an encoded JSON array, with so many attachments.

    With a ``number`` the client is to acknowledge it.
    """
    inner = arguments.strip()[1:-1].strip()
    kind = BINARY_EVENT if attachments else EVENT
    return (
        head(kind, namespace, number, attachments)
        + b"["
        + encoded_name(name)
        + (b"," + inner if inner else b"")
        + b"]"
    )


def connected(namespace: str, sid: str) -> bytes:
    return head(CONNECT, namespace) + b'{"sid":"%b"}' % sid.encode()


def refused(namespace: str, sentence: str, data: Any = None) -> bytes:
    """The answer to a connect packet. ``data`` goes with the sentence unless it is None."""
    content = {"message": sentence} if data is None else {"message": sentence, "data": data}
    return head(CONNECT_ERROR, namespace) + strict_json.encode(content)


def disconnected(namespace: str) -> bytes:
    return head(DISCONNECT, namespace)


def encode(
    kind: int, namespace: str, number: int | None, arguments: Sequence[Any]
) -> tuple[bytes, list[bytes]]:
    """An event or acknowledgement of Python values, and its attachments. Raises Malformed."""
    text, attachments = encoded(arguments)
    if attachments:
        kind = BINARY_EVENT if kind == EVENT else BINARY_ACK
    return head(kind, namespace, number, len(attachments)) + text, attachments

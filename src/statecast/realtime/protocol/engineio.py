"""Engine.IO v4, without I/O: its packets, and the errors its handshake answers with."""

from __future__ import annotations

import base64
import binascii
import functools
import os
from collections.abc import Iterator
from typing import NamedTuple

from statecast import strict_json
from statecast.errors import Malformed

VERSION = "4"

OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = "0123456"

PING_PACKET = b"2"
NOOP_PACKET = b"6"
PROBE, PROBE_ANSWER = "2probe", b"3probe"
CLOSE_PACKET = b"1"
SEPARATOR = "\x1e"
SID_BYTES = 18
"""Of randomness in a session id; they make 24 characters without padding."""
URL_SAFE = bytes.maketrans(b"+/", b"-_")
MAX_PACKETS_OUT = 16
"""Packets in the answer to one GET: python-engineio reads no more."""


class EngineIOError(NamedTuple):
    """Why a request is no session: code and sentence as Engine.IO has them."""

    code: int
    message: str
    status: int = 400

    def body(self) -> bytes:
        return strict_json.encode({"code": self.code, "message": self.message})


UNKNOWN_TRANSPORT = EngineIOError(0, "Transport unknown")
UNKNOWN_SID = EngineIOError(1, "Session ID unknown")
BAD_METHOD = EngineIOError(2, "Bad handshake method")
BAD_REQUEST = EngineIOError(3, "Bad request")
FORBIDDEN = EngineIOError(4, "Forbidden", 403)
UNKNOWN_VERSION = EngineIOError(5, "Unsupported protocol version")


class EngineIOPacket(NamedTuple):
    """``data`` is text, or bytes for a binary message."""

    kind: str
    data: str | bytes


def new_sid(prefix: str = "") -> str:
    """A session id that cannot be guessed.

    A ``prefix`` takes the place of the first characters. After one of two, 132 random bits remain.
    """
    sid = binascii.b2a_base64(os.urandom(SID_BYTES), newline=False).translate(URL_SAFE).decode()
    return prefix + sid[len(prefix) :]


def open_packet(
    sid: str,
    *,
    ping_interval: float,
    ping_timeout: float,
    max_payload: int,
    upgrades: tuple[str, ...] = (),
) -> bytes:
    """The first packet of a session; times in seconds."""
    return b'%b{"sid":"%b",%b' % (
        OPEN.encode(),
        sid.encode(),
        _open_packet_end(upgrades, ping_interval, ping_timeout, max_payload),
    )


@functools.lru_cache(16)
def _open_packet_end(
    upgrades: tuple[str, ...], ping_interval: float, ping_timeout: float, max_payload: int
) -> bytes:
    """What follows the sid. It is the same for all sessions of a server, so it is encoded once."""
    parameters = {
        "upgrades": list(upgrades),
        "pingInterval": round(ping_interval * 1000),
        "pingTimeout": round(ping_timeout * 1000),
        "maxPayload": max_payload,
    }
    return strict_json.encode(parameters)[1:]


def parse_payload(body: bytes) -> Iterator[EngineIOPacket]:
    """Read a POST's body: packets with a separator between them, each parsed when it is asked for.

    Stock clients put all that waits into one body, so their number has no limit of its own; the
    caller takes them at the rate that a client has. Raises Malformed.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Malformed("an Engine.IO payload is not UTF-8") from None
    start = 0
    while start <= len(text):
        end = text.find(SEPARATOR, start)
        end = len(text) if end < 0 else end
        part, start = text[start:end], end + 1
        yield parse(_binary(part) if part[:1] == "b" else part)


def _binary(part: str) -> bytes:
    try:
        return base64.b64decode(part[1:], validate=True)
    except ValueError:
        raise Malformed("a binary Engine.IO packet in a payload is not base64") from None


def binary_packet(data: bytes) -> bytes:
    """A binary message as long polling carries it."""
    return b"b" + base64.b64encode(data)


def binary_data(packet: bytes) -> bytes:
    """The message in what ``binary_packet`` returned."""
    return base64.b64decode(packet[1:])


def parse(message: str | bytes) -> EngineIOPacket:
    """Read one WebSocket message as a packet. Raises Malformed."""
    if isinstance(message, bytes):
        return EngineIOPacket(MESSAGE, message)
    if not message:
        raise Malformed("an Engine.IO packet must not be empty")
    kind, data = message[0], message[1:]
    if kind not in (CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP):
        raise Malformed("the type of an Engine.IO packet from a client is one of 1 2 3 4 5 6")
    if data and kind in (CLOSE, PONG, UPGRADE, NOOP):
        raise Malformed("an Engine.IO packet of this type carries no data")
    return EngineIOPacket(kind, data)

"""Engine.IO v4, without I/O: its packets, and the errors its handshake answers with."""

from __future__ import annotations

import base64
import functools
import secrets
from typing import NamedTuple

from statecast import strict_json
from statecast.errors import Malformed, TooLarge

VERSION = "4"

OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = "0123456"

PING_PACKET = b"2"
NOOP_PACKET = b"6"
PROBE, PROBED = "2probe", b"3probe"
CLOSE_PACKET = b"1"
SEPARATOR = "\x1e"
MOST_PACKETS = 64
"""Packets a client may put into one POST."""
MOST_PACKETS_OUT = 16
"""Packets in the answer to one GET: python-engineio reads no more."""


class Mistake(NamedTuple):
    """Why a request does not become a session: code and sentence as the specification has them."""

    code: int
    message: str
    status: int = 400

    def body(self) -> bytes:
        return strict_json.encode({"code": self.code, "message": self.message})


UNKNOWN_TRANSPORT = Mistake(0, "Transport unknown")
UNKNOWN_SID = Mistake(1, "Session ID unknown")
BAD_METHOD = Mistake(2, "Bad handshake method")
BAD_REQUEST = Mistake(3, "Bad request")
FORBIDDEN = Mistake(4, "Forbidden", 403)
UNKNOWN_VERSION = Mistake(5, "Unsupported protocol version")


class Packet(NamedTuple):
    """``data`` is text, or bytes for a binary message."""

    kind: str
    data: str | bytes


def new_sid() -> str:
    """A name nobody guesses."""
    return secrets.token_urlsafe(15)


def open_packet(
    sid: str,
    *,
    ping_interval: float,
    ping_timeout: float,
    max_payload: int,
    upgrades: tuple[str, ...] = (),
) -> bytes:
    """The first packet of a session; times in seconds."""
    terms = _terms(upgrades, round(ping_interval * 1000), round(ping_timeout * 1000), max_payload)
    return b'%b{"sid":"%b",%b' % (OPEN.encode(), sid.encode(), terms)


@functools.lru_cache(16)
def _terms(
    upgrades: tuple[str, ...], ping_interval: int, ping_timeout: int, max_payload: int
) -> bytes:
    """What all open packets of a server end with; encoded once, for a storm of viewers."""
    terms = {
        "upgrades": list(upgrades),
        "pingInterval": ping_interval,
        "pingTimeout": ping_timeout,
        "maxPayload": max_payload,
    }
    return strict_json.encode(terms)[1:]


def parse_payload(body: bytes) -> list[Packet]:
    """Read the body of a POST: packets with a separator between them. Raises Malformed or TooLarge."""
    try:
        parts = body.decode().split(SEPARATOR)
    except UnicodeDecodeError:
        raise Malformed("an Engine.IO payload is not UTF-8") from None
    if len(parts) > MOST_PACKETS:
        raise TooLarge(f"an Engine.IO payload has at most {MOST_PACKETS} packets")
    return [parse(_binary(part) if part[:1] == "b" else part) for part in parts]


def _binary(part: str) -> bytes:
    try:
        return base64.b64decode(part[1:], validate=True)
    except ValueError:
        raise Malformed("a binary Engine.IO packet in a payload is not base64") from None


def binary_packet(data: bytes) -> bytes:
    """A binary message as long polling carries it."""
    return b"b" + base64.b64encode(data)


def unpacked(packet: bytes) -> bytes:
    """What ``binary_packet`` made, undone."""
    return base64.b64decode(packet[1:])


def parse(message: str | bytes) -> Packet:
    """Read one WebSocket message as a packet. Raises Malformed."""
    if isinstance(message, bytes):
        return Packet(MESSAGE, message)
    if not message:
        raise Malformed("an Engine.IO packet must not be empty")
    kind, data = message[0], message[1:]
    if kind not in (CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP):
        raise Malformed("the type of an Engine.IO packet from a client is one of 1 2 3 4 5 6")
    if data and kind in (CLOSE, PONG, UPGRADE, NOOP):
        raise Malformed("an Engine.IO packet of this type carries no data")
    return Packet(kind, data)

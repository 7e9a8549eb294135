"""The WebSocket frames and packets that the clients of the benchmarks send and receive."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

JOIN = "40"
POLLING = "/socket.io/?EIO=4&transport=polling"
"""The address of a session over long polling, without its id."""
SENT = b'"sent":'
"""Precedes the time of sending in a state: microseconds of the machine's monotonic clock."""
WRITE = b'42["states"'
UPDATE = b'"device":'
PACKET_BYTES = 239
"""Size of the Socket.IO packet of the fan-out."""


def upgrade(port: int, query: str = "") -> bytes:
    """The request for a WebSocket. ``query`` is what its address says in addition."""
    return (
        f"GET /socket.io/?EIO=4&transport=websocket{query} HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def text_frame(text: str) -> bytes:
    """A client's text frame. Its mask is zero, which does not change the payload."""
    payload = text.encode()
    size = len(payload)
    head = (
        struct.pack("!BB", 0x81, 0x80 | size)
        if size < 126
        else struct.pack("!BBH", 0x81, 0x80 | 126, size)
    )
    return head + bytes(4) + payload


def watch(patterns: list[str], protocol: int = 1) -> bytes:
    """The frame that asks for the states of devices."""
    return text_frame(watch_packet(patterns, protocol))


def watch_packet(patterns: list[str], protocol: int = 1, **more: Any) -> str:
    """The packet in it. ``more``: what else is asked for."""
    request = {"devices": patterns, "protocol": protocol, **more}
    return "420" + json.dumps(["watch", request], separators=(",", ":"))


def content_length(head: bytes) -> int:
    """The size of the body that follows this head of an HTTP response."""
    return int(head.lower().partition(b"\r\ncontent-length:")[2].split()[0])


def state_message() -> dict[str, Any]:
    """A ``states`` event with one device, which makes a packet of ``PACKET_BYTES``."""
    state = {"mood": "happy", "battery": 82, "hugged": False, "note": ""}
    item = {"device": "pillow", "version": 1042, "offset": 90_817, "state": state}
    message = {
        "epoch": "6f2f7a0c",
        "offset": 90_817,
        "states": [item | {"changed_at": "2026-01-31T12:00:00.000Z"}],
    }
    state["note"] = "x" * (PACKET_BYTES - len(packet(message)))
    return message


def packet(message: Any) -> bytes:
    """A ``states`` event as a Socket.IO packet."""
    return b'42["states",' + json.dumps(message, separators=(",", ":")).encode() + b"]"


def times(data: bytes) -> Iterator[int]:
    """The times of sending in received data, without one that is cut off at the end."""
    at = data.find(SENT)
    while at >= 0:
        begin = end = at + len(SENT)
        while data[end : end + 1].isdigit():
            end += 1
        if end < len(data) and end > begin:
            yield int(data[begin:end])
        at = data.find(SENT, end)

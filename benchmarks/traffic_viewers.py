"""Viewers of each transport that count the bytes which a server sends them."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Collection

from benchmarks import client_frames
from benchmarks.client_frames import POLLING
from benchmarks.processes import BenchmarkError

OFFER = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
ACCEPT = "Accept-Encoding: gzip\r\n"


class CountingViewer:
    """A connection, and how many bytes came on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self._size = 0

    def fileno(self) -> int:
        return self.socket.fileno()

    def read(self) -> bytes:
        """What has come, at least a byte."""
        piece = self.socket.recv(1 << 20)
        if not piece:
            raise BenchmarkError("a viewer was sent away")
        self._size += len(piece)
        return piece

    def taken(self) -> int:
        """Bytes since the last call."""
        size, self._size = self._size, 0
        return size

    def close(self) -> None:
        self.socket.close()

    def expect(self, text: bytes) -> bytes:
        found = b""
        while text not in found:
            found += self.read()
        return found


class WebSocketViewer(CountingViewer):
    """Compresses by permessage-deflate."""

    def __init__(self, port: int, protocol: int, compressed: bool) -> None:
        super().__init__(port)
        head = client_frames.upgrade(port)
        self.socket.sendall(head[:-2] + (OFFER if compressed else b"") + b"\r\n")
        self.expect(b'"sid"')
        self.socket.sendall(client_frames.text_frame(client_frames.JOIN))
        self.expect(b"40{")
        self.socket.sendall(client_frames.text_frame(watch(protocol)))
        self.taken()


class EventStreamViewer(CountingViewer):
    """Compresses by gzip, as the next one."""

    def __init__(self, port: int, protocol: int, compressed: bool) -> None:
        super().__init__(port)
        self.socket.sendall(request(f"/events?protocol={protocol}&health=1", compressed))


class PollingViewer(CountingViewer):
    """Asks again as soon as it has an answer."""

    def __init__(self, port: int, protocol: int, compressed: bool) -> None:
        super().__init__(port)
        self._get = self._answer = b""
        self.socket.sendall(request(POLLING, compressed))
        opened = self.expect(b"}")
        sid = json.loads(opened.partition(b"\r\n\r\n0")[2])["sid"]
        self._post(f"{POLLING}&sid={sid}", client_frames.JOIN)
        self._post(f"{POLLING}&sid={sid}", watch(protocol))
        self.taken()
        self._get = request(f"{POLLING}&sid={sid}", compressed)
        self.socket.sendall(self._get)

    def _post(self, path: str, packet: str) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(packet)}\r\n\r\n"
        self.socket.sendall(head.encode() + packet.encode())
        self.expect(b"\r\n\r\nok")

    def read(self) -> bytes:
        piece = super().read()
        if self._get:
            self._answer += piece
            head, found, body = self._answer.partition(b"\r\n\r\n")
            if found and len(body) >= client_frames.content_length(head):
                self._answer = b""
                self.socket.sendall(self._get)
        return piece


KINDS: dict[str, Callable[[int, int, bool], CountingViewer]] = {
    "WebSocket": WebSocketViewer,
    "server-sent events": EventStreamViewer,
    "long polling": PollingViewer,
}


def read_all(viewers: Collection[CountingViewer], seconds: float) -> None:
    """Read what comes in this time."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for viewer in select.select(viewers, [], [], left)[0]:
            viewer.read()


def request(path: str, compressed: bool) -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{ACCEPT if compressed else ''}\r\n"
    return head.encode()


def watch(protocol: int) -> str:
    return client_frames.watch_packet(["*"], protocol, health=True)

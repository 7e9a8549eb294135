"""Raw sockets that send what no correct client would send, on each transport of a server."""

from __future__ import annotations

import base64
import json
import os
import socket
from typing import Any

from statecast.realtime.protocol import websocket

TIMEOUT = 20
POLLING = "/socket.io/?EIO=4&transport=polling"
WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


class Connection:
    """A TCP connection that a test reads step by step."""

    def __init__(self, address: str, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(("127.0.0.1", port_of(address)))
        self.held = b""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def take(self, size: int) -> bytes:
        while len(self.held) < size:
            self._more()
        taken, self.held = self.held[:size], self.held[size:]
        return taken

    def take_until(self, end: bytes) -> bytes:
        while end not in self.held:
            self._more()
        taken, _, self.held = self.held.partition(end)
        return taken

    def _more(self) -> None:
        data = self.socket.recv(65_536)
        if not data:
            raise EOFError("the server closed it")
        self.held += data

    def ended(self) -> bool:
        """Wait for the end of the connection, whatever comes before; False if it does not come."""
        try:
            while self.socket.recv(65_536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True


def request(
    address: str, method: str, path: str, body: bytes = b"", headers: list[tuple[str,
        str]] | None = None,
    host: str | None = "127.0.0.1",
) -> tuple[int, bytes]:  # fmt: skip
    """One HTTP request with exactly these headers; its status and body.

    Of a stream only the beginning is read.
    """
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [] if host is None else [f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers or []]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    with Connection(address) as line:
        line.socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        head = line.take_until(b"\r\n\r\n").decode("latin-1")
        fields = dict(one.lower().split(": ", 1) for one in head.split("\r\n")[1:])
        return int(head.split()[1]), line.take(int(fields.get("content-length", "0")))


HANDSHAKE = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", base64.b64encode(bytes(16)).decode()),
]


class OnWebSocket(Connection):
    """A viewer on a WebSocket, after its handshake."""

    def __init__(
        self, address: str, receive_buffer: int | None = None, *, join: bool = True
    ) -> None:
        super().__init__(address, receive_buffer)
        head = "".join(
            f"{name}: {value}\r\n" for name, value in [("Host", "127.0.0.1"), *HANDSHAKE]
        )
        self.socket.sendall(f"GET {WEBSOCKET} HTTP/1.1\r\n{head}\r\n".encode())
        assert b" 101 " in self.take_until(b"\r\n\r\n")
        assert self.hear()[:1] == b"0"
        if join:
            self.say("40")
            assert self.hear()[:2] == b"40"

    def send(self, opcode: int, payload: bytes, *, final: bool = True) -> None:
        self.socket.sendall(masked(opcode, payload, final=final))

    def say(self, text: str) -> None:
        self.send(websocket.TEXT, text.encode())

    def frame(self) -> tuple[int, bytes]:
        first, size = self.take(2)
        if size > 125:
            size = int.from_bytes(self.take(2 if size == 126 else 8), "big")
        return first & 0x0F, self.take(size)

    def hear(self) -> bytes:
        """The next message."""
        opcode, payload = self.frame()
        assert opcode in (websocket.TEXT, websocket.BINARY), (opcode, payload)
        return payload

    def ask(self, name: str, *arguments: Any) -> Any:
        """Say an event and wait for its acknowledgement; what comes before it is passed over."""
        self.say("421" + json.dumps([name, *arguments]))
        while not (said := self.hear()).startswith(b"431"):
            if said == b"2":
                self.say("3")
        (answer,) = json.loads(said[3:])
        return answer

    def close_code(self) -> int:
        """What the server closes with; what comes before it is passed over."""
        while True:
            opcode, payload = self.frame()
            if opcode == websocket.CLOSE:
                return websocket.close_code(payload)


def masked(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """A frame as a client sends it; the mask is zero, so that a payload is what it is."""
    frame = websocket.frame(payload, opcode)
    head = len(frame) - len(payload)
    return (
        bytes([frame[0] if final else frame[0] & 0x7F, frame[1] | 0x80])
        + frame[2:head]
        + bytes(4)
        + payload
    )


class OnPolling:
    """A viewer on long polling; ``post`` gives the status, which is 200 while the session lives."""

    def __init__(self, address: str, *, join: bool = True) -> None:
        self.address = address
        status, opened = request(address, "GET", POLLING)
        assert status == 200
        self.path = f"{POLLING}&sid={json.loads(opened[1:])['sid']}"
        if join:
            assert self.post(b"40") == 200
            assert self.get()[1][:2] == b"40"

    def post(self, body: bytes) -> int:
        return request(self.address, "POST", self.path, body)[0]

    def get(self) -> tuple[int, bytes]:
        return request(self.address, "GET", self.path)

    def is_alive(self) -> bool:
        """Whether the session is there still; asked without waiting for a packet."""
        status, _ = request(self.address, "PUT", self.path, b"-")
        _, answer = request(self.address, "PUT", self.path, b"-")
        assert status == 400
        return json.loads(answer)["code"] != 1


def nonce(size: int) -> str:
    """Text that nobody has seen."""
    return os.urandom(size // 2 + 1).hex()[:size]

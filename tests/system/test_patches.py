"""What one number of a large state costs each viewer, in bytes on its connection."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

from statecast.flask import create_app, runtime_of
from statecast.server.server import BackgroundServer
from statecast.settings import Settings

pytestmark = pytest.mark.bare

READINGS = {f"reading_{number}": "x" * 90 for number in range(170)}
HEAD = 4
"""Bytes before the payload of a WebSocket frame of 126 to 65,535 bytes, from a server."""


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundServer]:
    app = create_app(Settings(store="memory:", port=0))
    server = BackgroundServer(runtime_of(app), app)
    server.start()
    yield server
    server.stop()


def send(server: BackgroundServer, device: str, **state: Any) -> None:
    """Send a message to the queue, as a device does."""
    request = urllib.request.Request(
        f"{server.address}/api/messages",
        json.dumps({"device": device, "state": state}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status in (200, 201, 202)


Receive = Callable[[], tuple[int, dict[str, Any]]]
"""The bytes and the content of the next ``states``."""


@contextmanager
def by_websocket(address: str, device: str, protocol: int) -> Iterator[Receive]:
    url = address.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    with connect(url) as connection:
        connection.recv(timeout=10)
        connection.send("40")
        connection.recv(timeout=10)
        request = {"devices": [device], "protocol": protocol}
        connection.send("42" + json.dumps(["watch", request]))

        def receive() -> tuple[int, dict[str, Any]]:
            while not (packet := str(connection.recv(timeout=10))).startswith('42["states"'):
                pass
            return len(packet.encode()) + HEAD, json.loads(packet[2:])[1]

        yield receive


@contextmanager
def by_events(address: str, device: str, protocol: int) -> Iterator[Receive]:
    host = urlsplit(address)
    with socket.create_connection((host.hostname, host.port), 10) as connection:
        path = f"/events?device={device}&protocol={protocol}"
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        file = connection.makefile("rb")
        while file.readline().strip():
            pass

        waiting: deque[tuple[int, dict[str, Any]]] = deque()

        def receive() -> tuple[int, dict[str, Any]]:
            """The next event, with the size of the chunks around it."""
            size, lines = 0, b""
            while not waiting:
                head = file.readline()
                length = int(head, 16)
                chunk = file.read(length + 2)
                size += len(head) + len(chunk)
                lines += chunk[:-2]
                if lines.endswith(b"\n\n"):  # a chunk may end with several events
                    data = [line for line in lines.split(b"\n") if line.startswith(b"data: ")]
                    waiting.extend((size, json.loads(line[len("data: ") :])) for line in data)
            return waiting.popleft()

        yield receive


@pytest.mark.parametrize(
    ("transport", "most"),
    [(by_websocket, 250), (by_events, 330)],
)
def test_one_number_of_a_large_state_costs_few_bytes(
    server: BackgroundServer, transport: Any, most: int
) -> None:
    # given two viewers of a state of 18 KB
    device = transport.__name__
    send(server, device, temperature=20.5, **READINGS)
    with (
        transport(server.address, device, 1) as full,
        transport(server.address, device, 2) as patched,
    ):
        for receive in (full, patched):
            while not receive()[1]["states"]:
                pass
        # when one number changes
        send(server, device, temperature=21.0)
        for receive in (full, patched):
            receive()  # the first one names the position, so it is longer
        send(server, device, temperature=21.5)
        (size, event), (patch_size, patch) = full(), patched()
    # then one has all of it, and the other the number
    assert event["states"][0]["state"] == {"temperature": 21.5, **READINGS}
    assert patch["states"][0]["patch"] == {"temperature": 21.5}
    assert patch_size < most < 18_000 < size, (patch_size, size)
    assert patch["offset"] == event["offset"]

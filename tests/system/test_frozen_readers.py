"""Rule 7: a reader that is frozen costs its place and a bound, and when it wakes it ends on the
newest.

``TEST_STATECAST_FROZEN`` and ``TEST_STATECAST_CHANGES`` make it larger.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from server_process import ServerProcess

from statecast.model import Change
from statecast.realtime.protocol import websocket
from statecast.stores import open_store
from statecast.stores.contract import Store

FROZEN = int(os.environ.get("TEST_STATECAST_FROZEN", "40"))
CHANGES = int(os.environ.get("TEST_STATECAST_CHANGES", "1500"))
DEVICES = 10
PADDING = "☁" * 1_500
PER_READER = 1_000_000
"""Bytes that the server's memory may grow by for each."""


class Reader:
    """A connection with a small receive buffer, of which nothing is read until it wakes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", port))
        self.numbers: dict[str, int] = {}
        self.held = b""
        self.begin(port)

    def begin(self, port: int) -> None:
        raise NotImplementedError

    def events(self) -> Iterator[bytes]:
        raise NotImplementedError

    def more(self) -> None:
        data = self.socket.recv(65_536)
        assert data, "the server closed it"
        self.held += data

    def take_until(self, end: bytes) -> bytes:
        while end not in self.held:
            self.more()
        taken, _, self.held = self.held.partition(end)
        return taken

    def wake(self, newest: dict[str, int]) -> None:
        """Read until the newest of every device was told.

        What it is told of a device only rises.
        """
        for event in self.events():
            for item in json.loads(event)["states"]:
                number = item["state"]["number"]
                assert number > self.numbers.get(item["device"], -1)
                self.numbers[item["device"]] = number
            if self.numbers == newest:
                return


class OnWebSocket(Reader):
    def begin(self, port: int) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: "
            f"127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
            f"{key}\r\n\r\n".encode()
        )
        assert b" 101 " in self.take_until(b"\r\n\r\n")
        self.say("40")
        self.say('42["watch",{"devices":["*"]}]')

    def say(self, text: str) -> None:
        frame = websocket.frame(text.encode())
        self.socket.sendall(frame[:1] + bytes([frame[1] | 0x80]) + bytes(4) + frame[2:])

    def events(self) -> Iterator[bytes]:
        head = b'42["states",'
        while True:
            message = self.message()
            if message.startswith(head):
                yield message[len(head) : -1]

    def message(self) -> bytes:
        size = self.take(2)[1]
        if size > 125:
            size = int.from_bytes(self.take(2 if size == 126 else 8), "big")
        return self.take(size)

    def take(self, size: int) -> bytes:
        while len(self.held) < size:
            self.more()
        taken, self.held = self.held[:size], self.held[size:]
        return taken


class OnEvents(Reader):
    def begin(self, port: int) -> None:
        self.socket.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        self.response = http.client.HTTPResponse(self.socket)
        self.response.begin()
        assert self.response.status == 200

    def events(self) -> Iterator[bytes]:
        name = b""
        while line := self.response.readline():
            field, _, value = line.rstrip(b"\n").partition(b": ")
            if field == b"event":
                name = value
            elif field == b"data" and name == b"states":
                yield value


@pytest.fixture
def running(tmp_path: Path) -> Iterator[ServerProcess]:
    running = ServerProcess(tmp_path, "--port", "0", STATECAST_WRITE_TIMEOUT="120")
    yield running
    running.kill()


def change(store: Store, number: int) -> None:
    store.edit(Change(f"lamp/{number % DEVICES}", "merge", {"number": number, "padding": PADDING}))


@pytest.mark.parametrize("kind", [OnWebSocket, OnEvents])
def test_frozen_readers_cost_a_bound_and_wake_to_the_newest(
    running: ServerProcess, tmp_path: Path, kind: Any
) -> None:
    # given readers that read no further than the beginning
    store = open_store(f"sqlite:///{tmp_path}/statecast.db", begin_epoch=False)
    change(store, 0)
    process = psutil.Process(running.process.pid)
    witness = kind(running.port)
    before = process.memory_info().rss
    readers = [kind(running.port) for _ in range(FROZEN)]

    # when far more changes than they and their transports can hold
    for number in range(1, CHANGES):
        change(store, number)
    newest = {f"lamp/{number % DEVICES}": number for number in range(CHANGES - DEVICES, CHANGES)}
    witness.wake(newest)

    # then each costs no more than its bound
    grown = process.memory_info().rss - before
    assert grown < FROZEN * PER_READER, f"{grown / FROZEN:.0f} bytes each"

    # and when they wake, they are told the newest, skipping what lies between
    for reader in readers:
        reader.wake(newest)
        reader.socket.close()
    witness.socket.close()
    store.close()

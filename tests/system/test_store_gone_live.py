"""Viewers that are connected while the file of the store is harmed: what they get, and get again.

Real servers, one viewer of server-sent events and one over WebSocket.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import pytest
import websockets.exceptions
import websockets.sync.client
from server_process import ServerProcess, statecast

WAIT = 30.0
"""Seconds until a viewer counts as one that receives nothing more."""
MOST = 30
"""Updates and beats until what is waited for must have come."""


def frames(connection: websockets.sync.client.ClientConnection) -> Iterator[Any]:
    """Those of a connection, up to its end, of whatever kind."""
    with suppress(websockets.exceptions.ConnectionClosed):
        while True:
            yield connection.recv()


class Viewer(Protocol):
    received: queue.SimpleQueue[Any]
    """What arrives; None at the end of the connection."""

    def connect(self, address: str) -> None:
        """Connect, and watch everything from the last position on."""

    def close(self) -> None: ...


class EventStreamViewer:
    def __init__(self) -> None:
        self.received: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.position = ""
        self.thread: threading.Thread | None = None

    def connect(self, address: str) -> None:
        headers = {"Last-Event-ID": self.position} if self.position else {}
        request = urllib.request.Request(f"{address}/events?health=1", headers=headers)
        stream = urllib.request.urlopen(request, timeout=WAIT)
        self.thread = threading.Thread(target=self.read, args=(stream,))
        self.thread.start()

    def read(self, stream: Any) -> None:
        with stream:
            for line in stream:
                field, _, value = line.decode().strip().partition(": ")
                if field == "id":
                    self.position = value
                if field == "data":
                    self.received.put(json.loads(value))
        self.received.put(None)

    def close(self) -> None:
        if self.thread is not None:
            self.thread.join(WAIT)


class WebSocketViewer:
    """Speaks Socket.IO over a WebSocket; frames of other kinds than events are left out."""

    def __init__(self) -> None:
        self.received: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.position: dict[str, Any] = {}
        self.thread: threading.Thread | None = None

    def connect(self, address: str) -> None:
        url = f"{address.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket"
        self.thread = threading.Thread(target=self.read, args=(url,))
        self.thread.start()

    def read(self, url: str) -> None:
        since = {"since": self.position} if self.position else {}
        watch = {"devices": ["*"], "health": True, "protocol": 1, **since}
        with websockets.sync.client.connect(url, ping_interval=None) as connection:
            connection.send("40")
            connection.send(f"42{json.dumps(['watch', watch])}")
            for frame in frames(connection):
                if frame == "2":
                    connection.send("3")  # a ping of Engine.IO
                if str(frame).startswith("42"):
                    name, data = json.loads(frame[2:])
                    if name == "states":
                        kept = ("epoch", "offset", "scope")
                        self.position = {key: data[key] for key in kept if key in data}
                    self.received.put(data)
        self.received.put(None)

    def close(self) -> None:
        if self.thread is not None:
            self.thread.join(WAIT)


@pytest.fixture
def viewers() -> Iterator[list[Viewer]]:
    """They end with their server."""
    found: list[Viewer] = [EventStreamViewer(), WebSocketViewer()]
    yield found
    for viewer in found:
        viewer.close()


class Servers:
    """The servers of a store, one after the other at one address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running = ServerProcess(folder, "--port", "0")

    @property
    def address(self) -> str:
        return self.running.address

    def restart(self, meanwhile: Callable[[], object]) -> None:
        port = self.running.port
        self.running.terminate()
        meanwhile()
        self.running = ServerProcess(self.folder, "--port", str(port))

    def send(self, number: int) -> None:
        sent = statecast(self.folder, "send", "pillow", f"n={number}")
        assert sent.returncode == 0, sent.stderr


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    (tmp_path / "a-secret-place").mkdir()
    found = Servers(tmp_path / "a-secret-place")
    yield found
    found.running.kill()


def until(viewer: Viewer, arrived: Callable[[Any], bool]) -> list[Any]:
    """What the viewer receives, up to the first that is waited for."""
    found: list[Any] = []
    while not found or not arrived(found[-1]):
        assert len(found) < MOST, found[-1]
        found.append(viewer.received.get(timeout=WAIT))
        assert found[-1] is not None or arrived(None), "the connection ended"
    return found


def shows(number: int) -> Callable[[Any], bool]:
    return lambda data: any(one["state"] == {"n": number} for one in (data or {}).get("states", []))


def is_bad(data: Any) -> bool:
    return any(one["kind"] == "store-unusable" for one in (data or {}).get("problems", []))


def is_good(data: Any) -> bool:
    sources = (data or {}).get("sources", {})
    return "problems" in (data or {}) and not data["problems"] and all(
        one["status"] == "connected" for one in sources.values()
    )  # fmt: skip


def is_end(data: Any) -> bool:
    return data is None


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "removed": (lambda path: path.rename(f"{path}.away"), "was removed or replaced"),
    "cut": (lambda path: os.truncate(path, 4096), "was cut off"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_connected_viewers_learn_that_nothing_is_live_and_resume(
    viewers: list[Viewer], servers: Servers, harm: str
) -> None:
    # given viewers of a server
    path = servers.folder / "statecast.db"
    for viewer in viewers:
        viewer.connect(servers.address)
    servers.send(1)
    for viewer in viewers:
        until(viewer, shows(1))
        until(viewer, is_good)
    copied = statecast(servers.folder, "store", "backup", "backup.db")
    assert copied.returncode == 0, copied.stderr
    # when the file of its store is harmed
    harm_it, sentence = HARMS[harm]
    harm_it(path)
    # then the health says it to each of them, on the connection that stays, and names no place
    for viewer in viewers:
        *before, health = until(viewer, is_bad)
        assert not any("states" in one for one in before), "nothing was changed or reset"
        (problem,) = health["problems"]
        assert sentence in problem["sentence"] and problem["severity"] == "wrong"
        assert all(one["status"] == "blocked" for one in health["sources"].values())
        assert "a-secret-place" not in json.dumps(health)
        assert "statecast.db" not in json.dumps(health)

    if harm == "removed":
        # when the file is put back, then they are live again without a reconnection
        Path(f"{path}.away").rename(path)
    else:
        # when a backup is restored and the server starts again, then they resume
        servers.restart(lambda: restore(servers.folder))
        for viewer in viewers:
            until(viewer, is_end)
            viewer.connect(servers.address)
    servers.send(2)
    for viewer in viewers:
        assert not any((one or {}).get("reset") for one in until(viewer, shows(2)))
        until(viewer, is_good)
    # and the log of the servers has no traceback
    servers.running.terminate()
    assert not any("Traceback" in line for line in servers.running.output)


def restore(folder: Path) -> None:
    done = statecast(folder, "store", "restore", "backup.db")
    assert done.returncode == 0, done.stderr

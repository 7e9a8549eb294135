"""Rule 6 with clients that are not ours.

After cuts, on every transport, what they show equals the store.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import persistent_client
import pytest
from held_states import HeldStates
from slow_proxy import slow_proxy

from statecast.flask import create_app
from statecast.model import Change
from statecast.runtime import Runtime
from statecast.server.server import BackgroundServer
from statecast.settings import Settings

CHANGES, DEVICES, CUTS = 600, 7, 6
TIMEOUT = 30


class Page(HeldStates):
    """What a viewer knows, for threads that wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()

    def apply(self, event: dict[str, Any]) -> None:
        with self.changed:
            super().apply(event)
            self.changed.notify_all()

    def hear_more(self, than: dict[str, Any] | None) -> dict[str, Any] | None:
        """Wait until it has another position than that; its position."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.position != than, TIMEOUT)
            return self.position

    def wait_for(self, states: dict[str, Any]) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.states == states, TIMEOUT)


@contextmanager
def socket_io(address: str, transports: list[str] | None) -> Iterator[Page]:
    page, client = Page(), persistent_client.client()

    def watch() -> None:
        client.emit("watch", {"devices": ["*"]} | page.since)

    client.on("connect", watch)
    client.on("states", page.apply)
    with persistent_client.connected(client, address, transports, pause=0.02):
        yield page


@contextmanager
def events(address: str, protocol: int = 1) -> Iterator[Page]:
    """What an EventSource does: read, and after a cut come back with the last id."""
    page = Page()
    ended = threading.Event()

    def read() -> None:
        last: dict[str, str] = {}
        while not ended.is_set():
            connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=5)
            try:
                connection.request("GET", f"/events?protocol={protocol}", headers=last)
                name, number = "", ""
                for line in connection.getresponse():
                    field, _, value = line.decode().rstrip("\n").partition(": ")
                    if field == "event":
                        name, number = value, ""
                    elif field == "id":
                        number = value
                    elif field == "data" and name == "states":
                        page.apply(json.loads(value))
                        last = {"Last-Event-ID": number}
                    if ended.is_set():
                        return
            except (OSError, http.client.HTTPException):
                ended.wait(0.02)
            finally:
                connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield page
    finally:
        ended.set()
        reader.join(10)


@contextmanager
def javascript(address: str, transports: str, node: Any, protocol: int = 1) -> Iterator[Page]:
    page = Page()
    watcher = Path(__file__).with_name("stock_watcher.js")
    command = [node.program, watcher, address, transports, str(protocol)]
    with subprocess.Popen(
        command, env=node.variables, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = process.stdout
        reader = threading.Thread(
            target=lambda: [page.apply(json.loads(line)) for line in lines if line[-1:] == "\n"]
        )
        reader.start()
        try:
            yield page
        finally:
            process.kill()
            reader.join(10)


VIEWERS = {
    "python default": lambda address, node: socket_io(address, None),
    "python polling": lambda address, node: socket_io(address, ["polling"]),
    "python websocket": lambda address, node: socket_io(address, ["websocket"]),
    "javascript default": lambda address, node: javascript(address, "default", node),
    "javascript polling": lambda address, node: javascript(address, "polling", node),
    "javascript websocket": lambda address, node: javascript(address, "websocket", node),
    "javascript patches": lambda address, node: javascript(address, "default", node, 2),
    "events": lambda address, node: events(address),
    "events patches": lambda address, node: events(address, 2),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BackgroundServer]:
    settings = Settings(
        store=f"sqlite:///{tmp_path}/s.db", port=0, viewer_rate_limit=100_000, ping_interval=0.5
    )
    runtime = Runtime(settings)
    server = BackgroundServer(runtime, create_app(settings))
    server.start()
    yield server
    server.stop()


def change(runtime: Runtime, number: int) -> None:
    device = f"lamp/{number % DEVICES}"
    kind = "delete" if number % 41 == 40 else "merge"
    runtime.store.edit(
        Change(
            device, kind, {} if kind == "delete" else {"number": number, f"f{number % 5}": "☁" * 20}
        )
    )
    runtime.store.wake()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # the clients leave connections behind
@pytest.mark.parametrize("viewer", VIEWERS)
def test_after_cuts_a_page_equals_the_store(
    server: BackgroundServer, viewer: str, node: Any
) -> None:
    runtime = server.runtime
    change(runtime, 0)
    with slow_proxy(server.address) as (address, proxy), VIEWERS[viewer](address, node) as page:
        # when much changes while the connection breaks again and again, each time after the viewer
        # has heard something
        position = None
        for number in range(1, CHANGES):
            change(runtime, number)
            if number % (CHANGES // CUTS) == 0:
                position = page.hear_more(position)
                proxy.cut()

        # then in the end the page shows what the store holds, and it never had to begin anew
        shown = {
            update.device: json.loads(update.state)
            for update in runtime.store.devices()
            if update.state
        }
        assert page.wait_for(shown), (page.states, shown)
        assert page.resets == 0
        assert runtime.own_report()["requested_resets"] == 0
        assert (bool(page.patches), page.unfit) == (viewer.endswith("patches"), [])
        assert proxy.cuts == CUTS - 1

"""Server-sent events over a real server.

What ``curl -N`` shows, and where a client that returns goes on.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from endpoint import serving

from statecast.broadcast.broadcaster import Broadcaster
from statecast.model import Change
from statecast.realtime.hub import Hub
from statecast.settings import Settings
from statecast.stores import open_store
from statecast.stores.contract import Store
from tests.fakes.open_readers import open_readers


class Broadcasting(Broadcaster):
    """Notifies other threads of changes."""

    heard = threading.Condition()

    def on_changes(self, *arguments: Any) -> None:
        super().on_changes(*arguments)
        with self.heard:
            self.heard.notify_all()


class Live:
    """A store, its broadcaster, and the endpoint that serves it."""

    def __init__(self) -> None:
        self.store: Store = open_store("memory:")
        self.settings = Settings(store="memory:")
        self.broadcaster = Broadcasting(self.store, self.settings, clock=lambda: 1_700_000_000_000)
        self.hub = Hub(self.broadcaster, self.settings, readers=open_readers())
        self.address = ""

    def set(self, device: str, **fields: Any) -> None:
        update = self.store.edit(Change(device, "merge", fields))
        assert update is not None
        self.store.wake()
        with self.broadcaster.heard:
            assert self.broadcaster.heard.wait_for(
                lambda: self.broadcaster.position.offset >= update.offset, 10
            )


@pytest.fixture
def live() -> Iterator[Live]:
    live = Live()
    with serving(live.hub, live.broadcaster, live.settings, follows=True) as live.address:
        yield live


@contextmanager
def reading(live: Live, path: str, **headers: str) -> Iterator[Iterator[dict[str, str]]]:
    """The events of a stream, one by one."""
    connection = http.client.HTTPConnection(live.address.removeprefix("http://"), timeout=20)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    assert response.status == 200
    assert response.getheader("content-type") == "text/event-stream; charset=utf-8"

    def events() -> Iterator[dict[str, str]]:
        event: dict[str, str] = {}
        for line in response:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                event[name] = value
            else:
                yield event
                event = {}

    try:
        yield events()
    finally:
        response.close()
        connection.close()


def told(event: dict[str, str]) -> dict[str, Any]:
    """Device and state of what a ``states`` event brought."""
    return {item["device"]: item["state"] for item in json.loads(event["data"])["states"]}


def test_a_stream_brings_what_is_and_then_what_changes(live: Live) -> None:
    live.set("pillow", mood="happy")
    live.set("other", mood="secret")
    with reading(live, "/events?device=pillow") as events:
        first = next(events)
        assert first["event"] == "states"
        assert told(first) == {"pillow": {"mood": "happy"}}
        assert json.loads(first["data"])["complete"] is True
        live.set("pillow", mood="tired")
        assert told(next(events)) == {"pillow": {"mood": "tired"}}


def test_who_returns_with_the_last_id_gets_what_is_missing(live: Live) -> None:
    # given a reader that left with a place
    live.set("pillow", mood="happy")
    live.set("lamp", on=False)
    with reading(live, "/events") as events:
        place = next(events)["id"]
    live.set("lamp", on=True)

    # when it comes back with it, then only what it missed is told
    with reading(live, "/events", **{"Last-Event-ID": place}) as events:
        missed = next(events)
        assert told(missed) == {"lamp": {"on": True}}
        assert "reset" not in json.loads(missed["data"])

    # and with a place that is none, everything
    with reading(live, "/events?since=elsewhere:7") as events:
        everything = next(events)
        assert told(everything) == {"pillow": {"mood": "happy"}, "lamp": {"on": True}}
        assert json.loads(everything["data"])["reset"] is True


def test_health_comes_to_who_asks_for_it(live: Live) -> None:
    with reading(live, "/events?health=1") as events:
        assert {next(events)["event"], next(events)["event"]} == {"states", "health"}


def test_curl_shows_the_same(live: Live, curl: str) -> None:
    live.set("pillow", mood="happy")
    command = [curl, "-sN", f"{live.address}/events?device=pillow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().rstrip("\n") for _ in range(4)]
        process.terminate()
    assert lines[0] == "event: states"
    assert lines[1].startswith("id: ")
    assert '"mood":"happy"' in lines[2]
    assert lines[3] == ""


def test_a_stopping_server_ends_the_stream() -> None:
    # given a reader of a server that then stops
    live = Live()
    ended: list[dict[str, str]] = []
    with (
        serving(live.hub, live.broadcaster, live.settings, follows=True) as live.address,
        reading(live, "/events") as events,
    ):
        next(events)
        reader = threading.Thread(target=lambda: ended.extend(events))
        reader.start()
        assert live.hub.loop is not None
        # (the stream is open, the server is told to stop when the block ends)
        live.hub.loop.call_soon_threadsafe(
            lambda: live.hub.loop.create_task(live.hub.close_all(10))
        )
        reader.join(20)

    # then it was told when to come back, and the stream ended as it should
    assert not reader.is_alive()
    assert list(ended[-1]) == ["retry"]

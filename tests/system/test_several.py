"""Four serving processes on one store.

One consumer at a time, events that reach everybody, a holder that dies.
"""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import socketio
from server_process import ServerProcess

from statecast import strict_json
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.contract import Store

APP = """
from flask import Flask
from statecast import Statecast

app = Flask(__name__)
live = Statecast(app, namespaces=["/test"])

@app.get("/shout")
def shout():
    live.emit("message", {"data": "from one"}, namespace="/test")
    return "shouted"
"""


@pytest.fixture
def four(tmp_path: Path, store: Store) -> Iterator[list[ServerProcess]]:
    (tmp_path / "shouting.py").write_text(APP)
    started: list[ServerProcess] = []
    try:
        for _ in range(4):
            started.append(ServerProcess(tmp_path, "shouting:app", "--port", "0"))
        yield started
    finally:
        for one in started:
            one.kill()


def arrived(store: Store, queue: EmbeddedQueue) -> None:
    while queue.waiting():
        store.wait(0.2)


def test_each_message_is_applied_once_and_the_death_of_a_process_stops_nothing(
    store: Store, four: list[ServerProcess]
) -> None:
    queue = EmbeddedQueue(store)
    sent = 0
    # given four servers, of which one after the other is killed: the holder of the lease is among
    # them
    for server in [None, *four[:3]]:
        if server is not None:
            server.kill()
        # when messages come, each of which makes a version
        queue.send_many(
            [strict_json.encode({"device": "pillow", "state": {"n": sent + n}}) for n in range(200)]
        )
        sent += 200
        arrived(store, queue)
        # then each was applied exactly once
        update = store.get("pillow")
        assert update is not None and update.version == sent
        assert strict_json.decode(update.state or b"") == {"n": sent - 1}


def test_an_event_of_one_process_reaches_the_viewers_of_another(four: list[ServerProcess]) -> None:
    # given a viewer of the third process
    heard: list[object] = []
    said, joined = threading.Event(), threading.Event()
    client = socketio.Client()
    client.on("connect", joined.set, namespace="/test")
    client.on("message", lambda data: (heard.append(data), said.set()), namespace="/test")
    client.connect(four[2].address, namespaces=["/test"])
    assert joined.wait(30)
    # when a route of the first process emits
    urllib.request.urlopen(four[0].address + "/shout", timeout=30).read()
    # then the viewer hears it, once
    assert said.wait(30)
    urllib.request.urlopen(four[1].address + "/shout", timeout=30).read()
    client.sleep(0)
    client.disconnect()
    assert heard[0] == {"data": "from one"}

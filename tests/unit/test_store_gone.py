"""What viewers, programs and the log get when the store's file is damaged while a server runs."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from statecast.errors import StoreUnusable
from statecast.flask import create_app, runtime_of
from statecast.model import Change
from statecast.runtime import Runtime
from statecast.settings import Settings
from statecast.stores.sqlite import connections
from tests.waiting import wait_for

JSON = "application/json"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A place whose name would be noticed anywhere."""
    folder = tmp_path / "a-secret-place"
    folder.mkdir()
    return folder / "hidden.db"


@pytest.fixture
def live(path: Path) -> Iterator[Runtime]:
    app = create_app(Settings(store=f"sqlite:///{path}"))
    runtime = runtime_of(app)
    runtime.store.edit(Change("pillow", "merge", {"mood": "happy"}, by="user"))
    runtime.client = app.test_client()  # type: ignore[attr-defined]
    yield runtime
    runtime.stop()


@pytest.fixture
def client(live: Runtime) -> FlaskClient:
    made: FlaskClient = live.client  # type: ignore[attr-defined]
    return made


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "renamed": lambda path: path.rename(f"{path}.old"),
    "replaced": lambda path: (path.unlink(), path.write_bytes(b"SQLite format 3\0" * 500)),
    "all removed": lambda path: [file.unlink() for file in path.parent.iterdir()],
    "cut to half": halve,
    "cut to nothing": lambda path: os.truncate(path, 0),
    "log removed": lambda path: Path(f"{path}-wal").unlink(),
}
REQUESTS = [
    ("GET", "/"),
    ("GET", "/devices/pillow"),
    ("GET", "/devices/missing"),
    ("GET", "/operator"),
    ("GET", "/api/devices"),
    ("GET", "/api/devices/pillow"),
    ("GET", "/api/devices/pillow/history"),
    ("GET", "/api/changes"),
    ("PUT", "/api/devices/pillow"),
    ("PATCH", "/api/devices/pillow"),
    ("DELETE", "/api/devices/pillow"),
    ("POST", "/api/messages"),
]


def ask(client: FlaskClient, method: str, path: str) -> Any:
    body = {"device": "pillow", "state": {}} if path.endswith("messages") else {"n": 1}
    data = None if method == "GET" else json.dumps(body)
    return client.open(path, method=method, data=data, content_type=JSON)


@pytest.mark.parametrize(("method", "address"), REQUESTS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_every_request_is_503_with_a_sentence(
    path: Path, client: FlaskClient, damage: str, method: str, address: str
) -> None:
    # given a server that has answered
    assert client.get("/api/devices").status_code == 200
    assert client.get("/").status_code == 200
    # when its store is damaged
    DAMAGE[damage](path)
    # then the request is answered at once, as often as it is made
    for _ in range(2):
        response = ask(client, method, address)
        assert response.status_code == 503, response.text
        assert response.headers["Retry-After"] == "30"
        assert any(word in response.text for word in ("removed or replaced", "cut off"))
        assert "another process" not in response.text.lower()
        # and it names no place
        assert "secret-place" not in response.text and "hidden.db" not in response.text


@pytest.mark.parametrize("damage", DAMAGE)
def test_nothing_that_viewers_get_names_the_place(
    path: Path, live: Runtime, client: FlaskClient, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    # given a server that consumes its queue
    caplog.set_level(logging.INFO)
    live.start()
    wait_for(lambda: live.consumers[0].health.status == "connected")
    wait_for(lambda: live.process_reports.reports)
    live.report()
    assert live.ready()[0]
    # when its store is damaged
    DAMAGE[damage](path)
    consumer = live.consumers[0]
    live.store.wake()
    consumer.stop()
    consumer.join(20)
    live._announced = 0.0
    health = live.report()
    ready, why = live.ready()
    # then readiness is red, and says why
    assert not ready
    assert "removed or replaced" in why["store"] or "cut off" in why["store"]
    # and no output for viewers names the place: health event, readiness, pages, REST
    pages = [ask(client, *request).text for request in REQUESTS]
    for output in (json.dumps(health), json.dumps(why), str(consumer.health), *pages):
        assert "secret-place" not in output and "hidden.db" not in output
    # and the log names it, in a few lines and without a traceback
    assert str(path) in caplog.text
    assert "Traceback" not in caplog.text
    for _ in range(50):
        ask(client, "GET", "/api/devices")
    assert len([one for one in caplog.records if "was not answered" in one.getMessage()]) <= 20


def test_a_file_that_is_replaced_while_a_connection_opens(
    path: Path, live: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite would cut off the index of the log, which the other connections have mapped."""
    # given an open store, and another file in its place at the moment in which a thread connects
    live.store.edit(Change("pillow", "merge", {"n": 1}))
    opened = connections.StoreConnection

    def replaced(*arguments: Any, **options: Any) -> connections.StoreConnection:
        DAMAGE["replaced"](path)
        return opened(*arguments, **options)

    monkeypatch.setattr(connections, "StoreConnection", replaced)
    failures: list[Exception] = []

    def read() -> None:
        try:
            live.store.devices()
        except StoreUnusable as error:
            failures.append(error)

    # when it does, then it is refused, and this process goes on
    thread = threading.Thread(target=read)
    thread.start()
    thread.join(20)
    assert len(failures) == 1
    assert "replaced" in str(failures[0])
    with pytest.raises(StoreUnusable):
        live.store.devices()

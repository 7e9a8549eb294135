"""A Flask-SocketIO app with one changed import, before stock clients: examples/chat."""

from __future__ import annotations

import importlib.util
import queue
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests
import socketio as stock

from statecast.flask import runtime_of
from statecast.server.server import BackgroundServer

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "chat" / "app.py"
TIMEOUT = 20


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The example, served; its address."""
    monkeypatch.setenv("STATECAST_STORE", f"sqlite:///{tmp_path}/chat.db")
    monkeypatch.setenv("STATECAST_PORT", "0")
    spec = importlib.util.spec_from_file_location("chat_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = ModuleType("chat_example")
    spec.loader.exec_module(module)
    server = BackgroundServer(runtime_of(module.app), module.app)
    server.start()
    yield server.address
    server.stop()


class Person:
    """A stock client, and what it has heard."""

    def __init__(self, address: str, transport: str, name: str | None = None) -> None:
        self.heard: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.client = stock.Client()
        self.client.on("*", lambda event, *data: self.heard.put((event, *data)))
        self.client.on("*", lambda event, *data: self.heard.put((event, *data)), namespace="/game")
        headers = {}
        if name is not None:
            with requests.Session() as session:
                session.post(f"{address}/login", data={"name": name}, timeout=TIMEOUT)
                headers["Cookie"] = "; ".join(f"{one.name}={one.value}" for one in session.cookies)
        self.client.connect(
            address, headers=headers, transports=[transport], namespaces=["/", "/game"]
        )
        self.greetings = {self.heard.get(timeout=TIMEOUT)[0] for _ in range(2)}

    def hears(self, number: int) -> list[tuple[Any, ...]]:
        return [self.heard.get(timeout=TIMEOUT) for _ in range(number)]


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_the_example_does_what_it_did(chat: str, transport: str) -> None:
    # given somebody who has logged in, and a stranger
    anna, other = Person(chat, transport, "anna"), Person(chat, transport)
    try:
        assert anna.greetings == other.greetings == {"welcome", "score"}

        # when both enter a room, then who was there hears of it, and the sender does not
        assert other.client.call("join", "attic", timeout=TIMEOUT) == "You are in attic."
        assert anna.client.call("join", "attic", timeout=TIMEOUT) == "You are in attic."
        assert other.hears(1) == [("joined", "anna")]

        # and what is said there reaches both, with the name of the login
        anna.client.emit("say", ("attic", "hello"))
        assert anna.hears(1) == other.hears(1) == [("said", "anna", "hello")]

        # and who leaves hears that, and nothing after it
        other.client.call("leave", "attic", timeout=TIMEOUT)
        assert anna.hears(1) == other.hears(1) == [("left", "stranger")]
        anna.client.emit("say", ("attic", "alone"))
        assert anna.hears(1) == [("said", "anna", "alone")]

        # and a message is for all
        other.client.send("good night")
        assert anna.hears(1) == other.hears(1) == [("message", "stranger: good night")]

        # and a background task speaks to the one who asked for it
        other.client.emit("count", 3)
        assert other.hears(3) == [("number", 1), ("number", 2), ("number", 3)]

        # and a class of handlers has a namespace and errors of its own
        assert anna.client.call("move", 26, namespace="/game", timeout=TIMEOUT) == 2
        assert anna.hears(1) == [("score", 52)]
        assert anna.client.call("move", 13, namespace="/game", timeout=TIMEOUT) == {
            "error": "division by zero"
        }
        assert anna.heard.get(timeout=TIMEOUT) == ("score", 26)
        assert anna.heard.empty()
    finally:
        anna.client.disconnect()
        other.client.disconnect()

"""Application events as an app has them.

Handlers, classes, rooms, hooks, emits; a real server and stock clients.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import queue
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import socketio as stock
from flask import Flask, current_app

from statecast import ConnectionRefused, Refused, Statecast, Unavailable
from statecast.errors import BadSetting, Malformed, StoreUnavailable
from statecast.realtime import handlers
from statecast.server.server import BackgroundServer
from tests.waiting import wait_for

TIMEOUT = 20
# A stock client that was refused leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Iterator[Statecast]:
    """An app that is served, with namespaces of its own; handlers may come before and after."""
    monkeypatch.setattr("os.environ", {})
    app = Flask("hugs")
    live = Statecast(app, store="memory:", port=0, handler_threads=2, namespaces=["/test"])
    yield live
    live.runtime.stop()


@pytest.fixture
def serve(live: Statecast) -> Iterator[Callable[[], str]]:
    servers: list[BackgroundServer] = []

    def begin() -> str:
        server = BackgroundServer(live.runtime, lambda environ, start_response: [])
        servers.append(server)
        server.start()
        return server.address

    yield begin
    for server in servers:
        server.stop()


@pytest.fixture
def join() -> Iterator[Callable[..., stock.Client]]:
    clients: list[stock.Client] = []

    def connect(
        address: str, namespace: str = "/", refused: Any = None, **options: Any
    ) -> stock.Client:
        client = stock.Client(reconnection=False)
        client.on("connect_error", refused, namespace=namespace)
        clients.append(client)
        client.heard = queue.Queue()
        client.on("*", lambda event, *data: client.heard.put((event, *data)), namespace=namespace)
        client.connect(address, transports=["websocket"], namespaces=[namespace], **options)
        return client

    yield connect
    for client in clients:
        client.disconnect()
    clients.clear()
    gc.collect()


def call(client: stock.Client, event: str, *data: Any, namespace: str = "/") -> Any:
    return client.call(event, data, namespace=namespace, timeout=TIMEOUT)


# Handlers


def test_functions_and_coroutines_answer_and_find_their_app(
    live: Statecast, serve: Any, join: Any
) -> None:
    # given a plain function, a coroutine function, and one given by name instead of decorated
    @live.on("hug")
    def hug(sid: str, strength: int) -> str:
        live.set("pillow", hugged=strength)
        return f"{current_app.name} hugged with {strength}"

    @live.on("later")
    async def later(sid: str) -> tuple[str, int]:
        await asyncio.sleep(0)
        return current_app.name, 2

    def size(sid: str, data: bytes) -> bytes:
        return data[::-1]

    assert live.on("turn", size, namespace="/test") is size
    address = serve()
    # then a viewer's event is acknowledged with what they return
    client = join(address)
    assert call(client, "hug", 7) == "hugs hugged with 7"
    assert live.get("pillow") == {"hugged": 7}
    assert call(client, "later") == ("hugs", 2)
    assert call(join(address, "/test"), "turn", b"\x00\x01", namespace="/test") == b"\x01\x00"


def test_an_error_in_a_handler_is_the_logs_business(
    live: Statecast, serve: Any, join: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @live.on("break")
    def break_(sid: str) -> None:
        raise ZeroDivisionError("secret")

    @live.on("break-later")
    async def break_later(sid: str) -> None:
        raise ZeroDivisionError("secret")

    @live.on("refuse")
    def refuse(sid: str) -> None:
        raise Refused("The pillow sleeps.")

    live.on("fine", lambda sid: "fine")
    client = join(serve())
    with caplog.at_level(logging.ERROR):
        for event in ("break", "break-later"):
            # when a handler fails, then the viewer gets a sentence with an id, and the log the
            # error under that id
            answer = call(client, event)["error"]
            found = re.fullmatch(r"The server could not handle this \(error (\w{8})\)\.", answer)
            assert found and any(found[1] in record.getMessage() for record in caplog.records)
    assert any(
        record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records
    )
    # and a refusal is a sentence for the viewer; whoever asks next is served
    assert call(client, "refuse") == {"error": "The pillow sleeps."}
    assert call(client, "nobody") == {"error": "No handler is registered for this event."}
    assert call(client, "fine") == "fine"


def test_slow_functions_hold_up_nobody_but_themselves(
    live: Statecast, serve: Any, join: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "BACKLOG", 5)
    # given functions that occupy every thread there is
    go_on, begun = threading.Event(), queue.Queue[str]()

    @live.on("slow")
    def slow(sid: str) -> str:
        begun.put(sid)
        assert go_on.wait(TIMEOUT)
        return "done"

    @live.on("quick")
    async def quick(sid: str) -> str:
        return "quick"

    client = join(serve())
    answers: queue.Queue[Any] = queue.Queue()
    for _ in range(2):
        client.emit("slow", callback=answers.put)
        begun.get(timeout=TIMEOUT)
    # then the loop serves others, coroutines and states among them
    assert call(client, "quick") == "quick"
    assert call(client, "watch", {"devices": ["*"]})["reset"] is False
    # and of more calls than may wait the newest are refused at once
    for _ in range(5 + 1):
        client.emit("slow", callback=answers.put)
    assert answers.get(timeout=TIMEOUT) == {
        "error": "The server is too busy to handle this now; try again later."
    }
    go_on.set()
    assert [answers.get(timeout=TIMEOUT) for _ in range(5 + 2)] == ["done"] * (5 + 2)


# Classes


class Hugs:
    """What a class of handlers looks like."""

    namespace = "/hugs"

    def __init__(self, live: Statecast) -> None:
        self.live = live
        self.left: queue.Queue[tuple[str, str]] = queue.Queue()

    def on_connect(self, sid: str, auth: Any) -> bool:
        self.live.enter(sid, auth.get("room", "hall"))
        self.live.emit("welcome", sid, namespace=self.namespace, to=sid)
        return bool(auth.get("friend"))

    def on_disconnect(self, sid: str, reason: str) -> None:
        self.left.put((sid, reason))

    async def on_hug(self, sid: str, whom: str) -> str:
        self.live.emit("hugged", whom, namespace=self.namespace, to="hall")
        return "hugged"

    def once(self) -> None:
        """No handler: its name does not begin with on_."""


def test_a_class_has_hooks_and_handlers(live: Statecast, serve: Any, join: Any) -> None:
    hugs = Hugs(live)
    live.register(hugs)
    address = serve()
    # when somebody is refused by the hook, then he does not get in, and never was there
    with pytest.raises(stock.exceptions.ConnectionError):
        join(address, "/hugs", auth={"friend": False})
    # when others are let in, then they hear what the hook said to them, and are where it put them
    hall, attic = (
        join(address, "/hugs", auth={"friend": True, "room": room}) for room in ("hall", "attic")
    )
    sids = [client.get_sid("/hugs") for client in (hall, attic)]
    assert [client.heard.get(timeout=TIMEOUT) for client in (hall, attic)] == [
        ("welcome", sid) for sid in sids
    ]
    assert call(attic, "hug", "pillow", namespace="/hugs") == "hugged"
    assert hall.heard.get(timeout=TIMEOUT) == ("hugged", "pillow")
    # and when they are taken out or leave, the hook is told why
    live.disconnect(sids[0])
    assert hugs.left.get(timeout=TIMEOUT) == (sids[0], "server namespace disconnect")
    attic.disconnect()
    sid, reason = hugs.left.get(timeout=TIMEOUT)
    assert sid == sids[1] and reason in (
        "client namespace disconnect",
        "transport close",
    )  # it may go without a word
    assert hugs.left.empty() and attic.heard.empty()


def test_what_cannot_be_registered_is_told_in_a_sentence(live: Statecast) -> None:
    class Reserved:
        def on_disconnecting(self, sid: str) -> None: ...

    class Attribute:
        on_hug = "no function"

    for wrong, sentence in [
        (Hugs, r"not its class: live.register\(Hugs\(\)\)"),
        (object(), "no method on_<event>"),
        (Reserved(), "protocol's own"),
        (Attribute(), "no function"),
    ]:
        with pytest.raises(BadSetting, match=sentence):
            live.register(wrong)
    for event, namespace in [
        ("watch", "/"),
        ("connect_error", "/"),
        ("", "/"),
        ("hug", "test"),
        ("hug", "/a,b"),
        (5, "/"),
    ]:
        with pytest.raises(BadSetting):
            live.on(event, print, namespace=namespace)
    live.on("hug", print)
    with pytest.raises(BadSetting, match="has a handler already"):
        live.on("hug", print)
    live.on("watch", print, namespace="/test")
    assert len(live.runtime.viewers.handlers) == 2


# Hooks


@pytest.mark.parametrize("refusal", [Refused("Friends only."), ZeroDivisionError("secret"), None])
def test_a_hook_refuses_with_a_sentence(
    live: Statecast, serve: Any, join: Any, refusal: Exception | None
) -> None:
    """Its own one if it raises Refused; an error in it refuses, too, and tells the viewer nothing
    of its kind.
    """

    @live.on("connect")
    async def connect(sid: str, auth: Any) -> bool:
        if refusal is not None:
            raise refusal
        return False

    said: list[Any] = []
    with pytest.raises(stock.exceptions.ConnectionError):
        join(serve(), refused=said.append)
    ((sentence,),) = (one.values() for one in said)
    assert sentence == "Friends only." if isinstance(refusal, Refused) else "secret" not in sentence


# Rooms and emits


def test_emits_reach_a_namespace_a_room_or_one_from_any_thread(
    live: Statecast, serve: Any, join: Any
) -> None:
    # given three viewers, two of them in a room
    @live.on("enter")
    def enter(sid: str, room: str) -> str:
        live.enter(sid, room)
        return sid

    address = serve()
    first, second, _ = clients = [join(address) for _ in range(3)]
    call(first, "enter", "attic")
    sid = call(second, "enter", "attic")
    # when threads that are nobody's emit to all, to the room and to one
    for to, data in [(None, 1), ("attic", 2), (sid, 3), (None, 4)]:
        thread = threading.Thread(target=live.emit, args=("said", data), kwargs={"to": to})
        thread.start()
        thread.join()
    # then each hears what is for it, in order
    for client, heard in zip(clients, ([1, 2, 4], [1, 2, 3, 4], [1, 4]), strict=True):
        assert [client.heard.get(timeout=TIMEOUT) for _ in heard] == [
            ("said", data) for data in heard
        ]
    # and what could reach nobody is refused where it is said
    for wrong in ({"namespace": "test"}, {"to": 5}):
        with pytest.raises((BadSetting, Malformed)):
            live.emit("said", 5, **wrong)


def test_an_emit_reaches_viewers_of_another_process(
    tmp_path: Path, serve: Any, live: Statecast, join: Any
) -> None:
    """Two apps on one store are two processes to each other: they share nothing else."""
    apps = [Flask("one"), Flask("other")]
    lives = [Statecast(app, store=f"sqlite:///{tmp_path}/s.db", port=0) for app in apps]
    servers = [BackgroundServer(one.runtime, app) for one, app in zip(lives, apps, strict=True)]

    def enter(sid: str) -> str:
        lives[1].enter(sid, "attic")
        return sid

    lives[1].on("enter", enter)
    for server in servers:
        server.start()
    try:
        client = join(servers[1].address)
        sid = call(client, "enter")
        lives[0].emit("said", 1, to="attic")
        lives[0].emit("said", 2, to=sid)
        lives[0].emit("said", b"\xff", to=["attic", sid])
        lives[0].emit("said", 3, skip=sid)
        lives[0].leave(sid, "attic")
        lives[0].emit("said", 4, to="attic")
        lives[0].enter(sid, "cellar")
        lives[0].emit("said", 5, to="cellar")
        lives[0].close_room("cellar")
        lives[0].emit("said", 6, to="cellar")
        lives[0].emit("said", 7)
        said = [client.heard.get(timeout=TIMEOUT) for _ in range(5)]
        assert said == [("said", data) for data in (1, 2, b"\xff", 5, 7)]
        # and the other process may take it out, too
        lives[0].disconnect(sid)
        wait_for(lambda: lives[1].rooms(sid) == [])
    finally:
        for server in servers:
            server.stop()


def test_viewers_of_this_process_need_no_store_for_an_event(
    tmp_path: Path, serve: Any, live: Statecast, join: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an app whose store takes no event, and that serves alone
    app = Flask("alone")
    alone = Statecast(app, store=f"sqlite:///{tmp_path}/s.db", port=0)

    failed = threading.Event()

    def fail(events: object) -> None:
        failed.set()
        raise StoreUnavailable("The disk is full.")

    monkeypatch.setattr(alone.runtime.store, "emit", fail)
    server = BackgroundServer(alone.runtime, app)
    server.start()
    try:
        client = join(server.address)
        # when it emits, then its viewers have every event, in order
        for number in range(100):
            alone.emit("said", number)
        heard = [client.heard.get(timeout=TIMEOUT) for _ in range(100)]
        assert heard == [("said", number) for number in range(100)]
    finally:
        server.stop()
    # and since no other process serves, nothing was to be written, and none has missed them
    assert not failed.is_set()
    assert "events-dropped" not in [one.kind for one in alone.runtime.all_problems()]
    assert alone.runtime.own_report()["dropped_events"] == 0


def test_bytes_arrive_as_bytes(live: Statecast, serve: Any, join: Any) -> None:
    # given a handler that sends back what it gets
    @live.on("picture")
    def picture(sid: str, data: Any) -> None:
        live.emit("said", {"back": data}, to=sid)

    client = join(serve())
    # when a viewer sends bytes, then it gets bytes
    client.emit("picture", b"\x00\xff")
    assert client.heard.get(timeout=TIMEOUT) == ("said", {"back": b"\x00\xff"})
    # and so do all
    live.emit("said", [b"", {"more": b"\x01"}])
    assert client.heard.get(timeout=TIMEOUT) == ("said", [b"", {"more": b"\x01"}])


# Answers, refusals, requests


def test_a_viewer_is_asked_for_an_answer(live: Statecast, serve: Any, join: Any) -> None:
    # given handlers that ask the viewer back, in three ways
    called: queue.Queue[Any] = queue.Queue()

    @live.on("ask")
    def ask(sid: str, question: str) -> Any:
        live.emit(question, 1, b"x", to=sid, callback=lambda *found: called.put(found))
        return [live.call(question, number, to=sid, timeout=TIMEOUT) for number in range(3)]

    client = join(serve())
    answers: list[Any] = [None, "one", ("two", b"\x00"), ("again",)]
    client.on("none", lambda *data: answers[0])
    client.on("one", lambda *data: answers[1])
    client.on("several", lambda *data: answers[2])

    # then each gets what the viewer says: nothing, one value, several
    assert call(client, "ask", "none") == [None, None, None]
    assert called.get(timeout=TIMEOUT) == ()
    assert call(client, "ask", "one") == ["one"] * 3
    assert called.get(timeout=TIMEOUT) == ("one",)
    assert call(client, "ask", "several") == [["two", b"\x00"]] * 3
    assert called.get(timeout=TIMEOUT) == ("two", b"\x00")


def test_a_question_that_nobody_answers_ends(live: Statecast, serve: Any, join: Any) -> None:
    outcomes: queue.Queue[str] = queue.Queue()
    asked = threading.Event()

    @live.on("ask")
    def ask(sid: str, timeout: float) -> None:
        try:
            live.call("silence", to=sid, timeout=timeout)
        except (TimeoutError, Unavailable) as error:
            outcomes.put(type(error).__name__)

    @live.on("ask from a coroutine")
    async def wrong(sid: str) -> None:
        with pytest.raises(BadSetting, match="not for coroutines"):
            live.call("silence", to=sid)
        outcomes.put("refused")

    client = join(serve())
    client.on("silence", lambda: asked.set() or threading.Event().wait(1))
    # given a viewer that does not answer in time
    client.emit("ask", 0.05)
    assert outcomes.get(timeout=TIMEOUT) == "TimeoutError"
    # and a coroutine, which would stop the loop that it waits for
    client.emit("ask from a coroutine")
    assert outcomes.get(timeout=TIMEOUT) == "refused"
    # and a viewer that leaves meanwhile
    asked.clear()
    client.emit("ask", TIMEOUT)
    assert asked.wait(TIMEOUT)
    client.disconnect()
    assert outcomes.get(timeout=TIMEOUT) == "Unavailable"
    # and somebody who is not here: that fails at once
    with pytest.raises(Unavailable, match="has left"):
        live.call("silence", to="nobody")
    with pytest.raises(Malformed, match="Only one viewer"):
        live.emit("silence", callback=print)


def test_events_without_a_handler_of_their_own(live: Statecast, serve: Any, join: Any) -> None:
    live.on("known", lambda sid, *data: ["known", *data])
    live.on("*", lambda name, sid, *data: [name, *data])
    client = join(serve())
    assert call(client, "known", 1) == ["known", 1]
    assert call(client, "unknown", 1, 2) == ["unknown", 1, 2]
    assert call(client, "*", 3) == ["*", 3]


def test_a_refusal_says_more_than_a_sentence(live: Statecast, serve: Any) -> None:
    def refuse(sid: str, auth: Any) -> None:
        raise ConnectionRefused("Not today.", {"come": "tomorrow"})

    live.on("connect", refuse)
    client = stock.Client()
    heard: queue.Queue[Any] = queue.Queue()
    client.on("connect_error", heard.put)
    with pytest.raises(stock.exceptions.ConnectionError):
        client.connect(serve())
    assert heard.get(timeout=TIMEOUT) == {"message": "Not today.", "data": {"come": "tomorrow"}}


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_the_request_with_which_a_viewer_began(live: Statecast, serve: Any, transport: str) -> None:
    # given a handler that asks for requests
    def who(sid: str) -> Any:
        request = live.request(sid)
        return [request.cookies["who"], request.headers["X-Room"], request.args["q"],
                request.remote_addr, request.path]  # fmt: skip

    live.on("who", who, request=True)
    client = stock.Client()
    try:
        client.connect(
            f"{serve()}?q=1",
            headers={"Cookie": "who=anna", "X-Room": "attic"},
            transports=[transport],
        )
        # then it sees what the browser sent
        assert call(client, "who") == ["anna", "attic", "1", "127.0.0.1", "/socket.io/"]
    finally:
        client.disconnect()


def test_requests_are_not_kept_unasked(live: Statecast, serve: Any, join: Any) -> None:
    live.on("who", lambda sid: live.request(sid).path)
    assert "error" in call(join(serve()), "who")


# What comes late


def test_a_handler_that_comes_while_the_server_runs_is_called(
    live: Statecast, serve: Any, join: Any
) -> None:
    address = serve()
    client = join(address)
    assert call(client, "late") == {"error": "No handler is registered for this event."}
    # when handlers come, one of them in a namespace that did not exist
    live.on("late", lambda sid: "here")
    live.on("late", lambda sid: "there", namespace="/late")
    # then they are called, and a second one is refused as ever
    assert call(client, "late") == "here"
    assert call(join(address, "/late"), "late", namespace="/late") == "there"
    with pytest.raises(BadSetting, match="has a handler already"):
        live.on("late", print)


def test_a_poll_that_comes_while_the_server_runs_is_called(
    live: Statecast, serve: Any, join: Any
) -> None:
    client = join(serve())
    assert call(client, "watch", {"devices": ["late"]})["offset"] == 0
    assert client.heard.get(timeout=TIMEOUT)[1]["complete"] is True
    # when a function comes to be polled, then its state is told like any other
    live.poll("late", every=0.05)(lambda: {"here": True})
    name, news = client.heard.get(timeout=TIMEOUT)
    assert (name, news["states"][0]["state"]) == ("states", {"here": True})
    with pytest.raises(BadSetting, match="two sources called 'late'"):
        live.poll("late")(lambda: None)

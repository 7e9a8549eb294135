"""``statecast.socketio``: its options, and an app that has ``Statecast`` beside it."""

from __future__ import annotations

import importlib
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, current_app, request, session

from statecast.errors import BadSetting, Refused
from statecast.flask import Statecast, runtime_of
from statecast.realtime.handlers import name_of
from statecast.realtime.protocol import socketio as packets
from statecast.socketio import (
    ConnectionRefusedError,  # noqa: A004
    Namespace,
    SocketIO,
    close_room,
    emit,
    join_room,
    leave_room,
    rooms,
)
from statecast.socketio.extension import call_with, expanded
from statecast.socketio.options import to_settings
from statecast.socketio.serving import check_options, named_port
from statecast.socketio.values import room_name
from tests.unit.test_documents import ROOT, blocks

OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"ping_interval": 5}, {"ping_interval": 5}),
    ({"ping_interval": (5, 1)}, {"ping_interval": 5}),
    ({"max_http_buffer_size": 5_000}, {"max_payload": 5_000}),
    ({"cors_allowed_origins": "*"}, {"allow_origins": ["*"]}),
    ({"cors_allowed_origins": ["http://a.example"]}, {"allow_origins": ["http://a.example"]}),
    ({"cors_allowed_origins": None}, {}),
    ({"message_queue": "sqlite:///a.db"}, {"store": "sqlite:///a.db"}),
    ({"message_queue": None}, {}),
    ({"async_mode": "eventlet", "logger": True}, {}),
    ({"path": "/socket.io/", "resource": "socket.io"}, {}),
    ({"port": 5}, {"port": 5}),
    ({"certfile": None, "keyfile": None, "ssl_context": None}, {}),
    ({"certfile": "a.pem", "keyfile": "k.pem"}, {"tls_cert": "a.pem", "tls_key": "k.pem"}),
    ({"certfile": "both.pem"}, {"tls_cert": "both.pem", "tls_key": "both.pem"}),
    ({"ssl_context": ("a.pem", "k.pem")}, {"tls_cert": "a.pem", "tls_key": "k.pem"}),
]


@pytest.mark.parametrize(("options", "expected"), OPTIONS)
def test_options_become_settings(options: dict[str, Any], expected: dict[str, Any]) -> None:
    assert to_settings(options) == {"max_payload": 1_000_000} | expected
    assert to_settings(options, shared=True) == expected


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"message_queue": "redis://"}, "redis is none"),
        ({"client_manager": object()}, "remove client_manager"),
        ({"serializer": "msgpack"}, "remove serializer"),
        ({"ssl_context": object()}, "ssl_context names the files"),
        ({"cors_allowed_origins": print}, "not a function"),
        ({"path": "/live"}, "Viewers connect at /socket.io/ here, so path='/live'"),
        ({"resource": "my.io"}, "so resource='my.io' would leave them outside"),
        ({"pingTimeout": 5}, "no option 'pingTimeout' here. Do you mean ping_timeout"),
        ({"cors_allowed_origin": "*"}, "Do you mean cors_allowed_origins"),
        ({"engineio_loger": True}, "Do you mean engineio_logger"),
        ({"viewer_rate": (1, 1)}, "Do you mean viewer_rate_limit"),
        ({"xyz": 1}, "no option 'xyz' here. It takes those of Flask-SocketIO and the settings"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadSetting, match=sentence):
        SocketIO(Flask("host"), **options)


def test_options_of_another_server_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    to_settings({"async_mode": "gevent", "logger": True, "cookie": None})
    assert caplog.messages == ["these options of SocketIO do nothing here: async_mode, logger"]


def test_options_that_ask_for_what_happens_here_anyway_are_not_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    to_settings(
        {"async_mode": "threading", "async_handlers": True, "logger": False}
        | {"engineio_logger": False, "always_connect": False, "http_compression": True}
    )
    assert caplog.messages == []


def test_what_python_socketios_server_has_is_named_with_what_to_use() -> None:
    socketio = SocketIO(Flask("host"), store="memory:")
    with pytest.raises(AttributeError, match=r"has no 'manager'\. Use the methods of SocketIO"):
        socketio.server.manager
    assert not hasattr(socketio.server, "enter_room")


def test_handlers_run_in_the_app_that_came_last() -> None:
    # given a module's SocketIO, and an app of its own for each test of the program
    socketio = SocketIO()

    @socketio.on("name")
    def name() -> str:
        return str(current_app.config["NAME"])

    def create_app(name: str) -> Flask:
        app = Flask("host")
        app.config.update(NAME=name, SECRET_KEY="secret", STATECAST_STORE="memory:")
        socketio.init_app(app)
        return app

    # then each test has its own app, as with Flask-SocketIO
    for test in ("first", "second"):
        client = socketio.test_client(create_app(test))
        assert client.emit("name", callback=True) == test
        client.disconnect()


def test_an_app_without_our_pages_says_too_where_its_viewers_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # given a SocketIO app under another server, without and with the address of ours
    for options, status in (({}, "404 This server has no viewers."), ({"live_url": "."}, "404 ")):
        app = Flask("host")
        SocketIO(app, store="memory:", **options)
        answer = app.test_client().get("/socket.io/?EIO=4")
        assert answer.status.startswith(status)
    for extensions in ((SocketIO,), (SocketIO, Statecast), (Statecast, SocketIO)):
        app = Flask("host", root_path=str(ROOT))
        for add in extensions:
            add(app, store="memory:", live_url="http://127.0.0.1:8000")
        answer = app.test_client().get("/socket.io/?EIO=4")
        assert answer.headers["Location"] == "http://127.0.0.1:8000/socket.io/?EIO=4"

    # then the log says each once
    assert [line.partition(" ")[0] for line in caplog.messages] == ["This", "The", "A", "A", "A"]


def test_the_old_app_of_the_how_to_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given the app as the page has it, and a queue with one message
    page = ROOT / "docs" / "how-to" / "from-flask-socketio.md"
    [program] = [one for one in blocks(page, "python") if "watch_the_queue" in one]
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "index.html").write_text("<p id=mood></p>", "utf-8")
    (tmp_path / "old_app_of_the_how_to.py").write_text(program, "utf-8")
    taken = threading.Event()

    class QueueClient:
        def receive_messages(self) -> list[Any]:
            return [] if taken.is_set() else [SimpleNamespace(content='{"mood": "happy"}')]

        def delete_message(self, message: Any) -> None:
            taken.set()

        @classmethod
        def from_connection_string(cls, *arguments: str) -> QueueClient:
            return cls()

    azure = SimpleNamespace(QueueClient=QueueClient)
    monkeypatch.setitem(sys.modules, "azure", azure)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "azure.storage", azure)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "azure.storage.queue", azure)  # type: ignore[arg-type]
    monkeypatch.setenv("AZURE", "")
    monkeypatch.setenv("STATECAST_STORE", "memory:")
    monkeypatch.syspath_prepend(tmp_path)
    old: Any = importlib.import_module("old_app_of_the_how_to")
    start = old.socketio.start_background_task

    def until_it_sleeps(task: Any) -> None:
        with suppress(StopIteration):
            task()

    monkeypatch.setattr(old.socketio, "sleep", lambda seconds: next(iter(())))
    monkeypatch.setattr(
        old.socketio, "start_background_task", lambda task: start(until_it_sleeps, task)
    )

    # when a page is open, and the first visit starts the thread
    client = old.socketio.test_client(old.app, namespace="/test")
    assert client.is_connected("/test")
    assert old.app.test_client().get("/").text == "<p id=mood></p>"
    old.thread.join()

    # then the page hears of the message
    [event] = client.get_received("/test")
    assert event == {"name": "message", "args": {"mood": "happy"}, "namespace": "/test"}


@pytest.mark.parametrize("first", ["SocketIO", "Statecast"])
def test_both_extensions_share_the_runtime(first: str) -> None:
    # given an app with both, in either order
    app = Flask("host")
    options = {"store": "memory:"}
    if first == "Statecast":
        live, socketio = Statecast(app, **options), SocketIO(app)
    else:
        socketio = SocketIO(app)
        live = Statecast(app, **options)

    # then they are one server, with the settings of both
    assert live.runtime is socketio.runtime is runtime_of(app)
    assert live.runtime.settings.store == "memory:"
    live.set("pillow", mood="happy")

    # and a second Statecast is refused as ever
    with pytest.raises(BadSetting, match="has Statecast already"):
        Statecast(app)


def test_before_an_app_nothing_can_be_emitted() -> None:
    with pytest.raises(BadSetting, match="no app yet"):
        SocketIO().emit("hello")


def test_the_functions_of_handlers_say_where_they_belong() -> None:
    app = Flask("host")
    SocketIO(app, store="memory:")
    with app.test_request_context(), pytest.raises(BadSetting, match="This is for handlers"):
        emit("hello")


@pytest.mark.parametrize(
    ("args", "expected"),
    [((), ()), ((None,), ()), ((1, 2), (1, 2)), (((1, 2),), (1, 2)), (([1],), ([1],))],
)
def test_a_tuple_is_several_arguments(args: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    assert expanded(args) == expected


def test_handlers_of_connect_may_take_no_argument() -> None:
    assert call_with(lambda: "none", (1,), optional=True) == "none"
    assert call_with(lambda auth: auth, (1,), optional=True) == 1
    with pytest.raises(TypeError):
        call_with(lambda: None, (1,), optional=False)


@pytest.mark.parametrize(
    ("args", "sentence", "data"),
    [((), "Connection rejected by server", None), (("no",), "no", None), (("no", 1), "no", 1),
     (("no", 1, 2), "no", [1, 2])],
)  # fmt: skip
def test_a_refusal_has_a_message_and_data(args: Any, sentence: str, data: Any) -> None:
    error = ConnectionRefusedError(*args)
    assert (str(error), error.data) == (sentence, data)


def test_the_port_is_that_of_the_server_name() -> None:
    app = Flask("host")
    assert named_port(app) == 5_000
    app.config["SERVER_NAME"] = "localhost:8123"
    assert named_port(app) == 8_123


def test_a_viewer_without_a_handler_of_its_event_is_told() -> None:
    app = Flask("host")
    socketio = SocketIO(app, store="memory:")
    client = socketio.test_client(app)
    assert client.emit("nothing", callback=True) == {
        "error": "No handler is registered for this event."
    }


def test_several_namespaces_of_one_client_and_any_namespace() -> None:
    # given handlers for any namespace, and one of its own
    app = Flask("host")
    socketio = SocketIO(app, store="memory:")
    socketio.on_event("where", lambda: request.namespace, "*")  # type: ignore[attr-defined]
    socketio.on_event("where", lambda: "own", "/own")
    client = socketio.test_client(app, namespace="/a")
    client.connect("/own")

    # then each event has its handler
    assert client.emit("where", namespace="/a", callback=True) == "/a"
    assert client.emit("where", namespace="/own", callback=True) == "own"

    # and a namespace that was made for one viewer ends with it
    hub = socketio.testing.hub()
    client.disconnect("/a")
    assert hub._namespaces.get("/a") is None
    assert hub._namespaces.get("/own") is not None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"certfile": "a.pem"}, "The TLS file a.pem cannot be read"),
        ({"keyfile": "k.pem"}, "TLS needs the certificate and its key"),
        ({"ssl_context": "adhoc"}, "ssl_context names the files"),
        ({"ssl_context": object()}, "ssl_context names the files"),
        ({"workers": 4}, "has no option 'workers' here"),
    ],
)
def test_what_run_cannot_do_is_refused_in_a_sentence(
    options: dict[str, Any], sentence: str
) -> None:
    app = Flask("host")
    with pytest.raises(SystemExit, match=f"^Statecast: .*{sentence}"):
        SocketIO(app, store="memory:").run(app, **options)


@pytest.mark.parametrize("arguments", [{}, {"debug": True}])
def test_an_app_without_it_is_refused_in_a_sentence(arguments: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="no app yet; call SocketIO"):
        SocketIO().run(Flask("host"), **arguments)


def test_options_of_run_for_another_server_are_named(caplog: pytest.LogCaptureFixture) -> None:
    check_options({"log_output": True, "allow_unsafe_werkzeug": True, "certfile": None})
    assert caplog.messages == [
        "these options of socketio.run do nothing here: allow_unsafe_werkzeug, log_output"
    ]


def test_the_log_names_the_function_of_the_program(caplog: pytest.LogCaptureFixture) -> None:
    # given handlers of an event, of connect, and of any event
    app = Flask("host")
    socketio = SocketIO(app, store="memory:")

    @socketio.on("fail")
    def on_fail() -> None:
        raise ZeroDivisionError

    @socketio.on("connect", namespace="/closed")
    def on_connect_closed() -> None:
        raise ZeroDivisionError

    # when they fail, then the log names them
    client = socketio.test_client(app)
    with pytest.raises(ZeroDivisionError):
        client.emit("fail")
    assert f"handler {on_fail.__qualname__} failed" in caplog.text
    with pytest.raises(ZeroDivisionError):
        client.connect("/closed")
    assert f"handler {on_connect_closed.__qualname__} failed" in caplog.text

    # and an event without one is named by itself
    (dispatch,) = (
        handler
        for event, handler, namespace in runtime_of(app).viewers.handlers
        if (event, namespace) == ("*", "/")
    )
    assert name_of(dispatch, ("nothing", client.sids["/"])) == "nothing"


def test_a_borrowed_namespace_that_gets_handlers_shares_none() -> None:
    # given a viewer in a namespace that exists only through handlers for any namespace
    app = Flask("host")
    socketio = SocketIO(app, store="memory:")
    socketio.on_event("where", lambda: "any", "*")
    client = socketio.test_client(app, namespace="/a")

    # when that namespace gets a handler, then it has only that one, and the others have theirs
    socketio.on_event("mine", lambda: "own", "/a")
    assert client.emit("mine", namespace="/a", callback=True) == "own"
    client.connect("/b")
    assert client.emit("where", namespace="/b", callback=True) == "any"
    assert client.emit("mine", namespace="/b", callback=True) == {
        "error": "No handler is registered for this event."
    }

    # and the viewer can still be found, and the namespace lasts
    hub = socketio.testing.hub()
    assert hub.find(client.sids["/a"]) is not None
    client.disconnect("/a")
    assert hub.find("/a") is None
    assert hub._namespaces.get("/a") is not None


def test_a_sid_as_a_room_is_theirs_and_refused_by_live() -> None:
    # given two viewers of an app with both extensions
    app = Flask("host")
    live = Statecast(app, store="memory:")
    socketio = SocketIO(app)
    socketio.on_event("join", lambda room: join_room(room))
    ours, theirs = socketio.test_client(app), socketio.test_client(app)
    sid, other = ours.sids["/"], theirs.sids["/"]

    # when `live` is asked to let one hear what is for the other, then it refuses
    with pytest.raises(Refused, match="like a viewer's sid"):
        live.enter(sid, other)
    live.enter(sid, sid)
    live.emit("secret", to=other)
    assert ours.get_received() == []
    assert [one["name"] for one in theirs.get_received()] == ["secret"]

    # and join_room does what it does in Flask-SocketIO: a room may be a viewer's sid
    ours.emit("join", other)
    socketio.emit("shared", to=other)
    assert [one["name"] for one in ours.get_received()] == ["shared"]
    assert [one["name"] for one in theirs.get_received()] == ["shared"]


@pytest.mark.parametrize("managed", [True, False])
def test_the_namespaces_of_a_connection_share_its_session(managed: bool) -> None:
    # given a client whose page has logged in, and that is in two namespaces
    app = Flask("host", static_folder=None)
    app.secret_key = "for tests"
    app.add_url_rule("/login", view_func=lambda: session.update(user="ada") or "")
    socketio = SocketIO(app, store="memory:", manage_session=managed)
    for namespace in ("/", "/chat"):
        socketio.on_event("set", lambda value: session.update(seen=value), namespace)
        socketio.on_event("get", lambda: [session.get("user"), session.get("seen")], namespace)
    page = app.test_client()
    page.get("/login")
    client = socketio.test_client(app, flask_test_client=page)
    client.connect("/chat", headers={"Cookie": f"session={page.get_cookie('session').value}"})

    # when one of them changes it, then the other sees that, where events have their own session;
    # where the app's is a cookie, it stays as it was at the handshake
    client.emit("set", 5)
    seen = 5 if managed else None
    assert client.emit("get", callback=True) == ["ada", seen]
    assert client.emit("get", namespace="/chat", callback=True) == ["ada", seen]

    # and another connection has another session
    other = socketio.test_client(app, flask_test_client=page)
    assert other.emit("get", callback=True) == ["ada", None]


def test_a_room_called_like_a_viewer_of_another_process_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Flask("host")
    socketio = SocketIO(app, store="memory:")
    socketio.on_event("join", lambda room: join_room(room))
    client = socketio.test_client(app)
    client.emit("join", "hall")
    client.emit("join", client.sids["/"])
    assert caplog.records == []
    client.emit("join", packets.new_sid())
    assert "is the sid of a viewer of another process" in caplog.text


GAME = UUID("6f1c1d1e-0000-4000-8000-000000000001")


@pytest.mark.parametrize(
    ("room", "name"),
    [("hall", "hall"), (5, "5"), (0, "0"), (GAME, str(GAME)), ("größe ☃", "größe ☃")],
)
def test_rooms_are_named_by_numbers_too(room: Any, name: str) -> None:
    # given a program whose rooms are the keys of its database
    app = Flask("host", root_path=str(ROOT))
    socketio = SocketIO(app, store="memory:")

    @socketio.on("play")
    def play() -> list[str]:
        join_room(room)
        socketio.emit("played", 1, to=[room])
        found = [one for one in rooms() if one != request.sid]  # type: ignore[attr-defined]
        leave_room(room)
        socketio.emit("played", 2, to=[room])
        join_room(room)
        close_room(room)
        socketio.emit("played", 3, to=[room])
        return found

    # then they work as those that are named by text, and are listed as text
    client = socketio.test_client(app)
    assert client.emit("play", callback=True) == [name]
    assert [one["args"] for one in client.get_received()] == [[1]]


@pytest.mark.parametrize("room", [("game", 1), 1.5, object(), {"id": 1}])
def test_other_names_of_rooms_are_refused_in_a_sentence(room: Any) -> None:
    with pytest.raises(TypeError, match="A room is named by text, a number or a UUID here, not by"):
        room_name(room)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({1: "a", 2.5: "b"}, {"1": "a", "2.5": "b"}),
        ({True: 1, None: 2}, {"true": 1, "null": 2}),
        ([{"deep": {7: {8: b"x"}}}], [{"deep": {"7": {"8": b"x"}}}]),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_numbers_as_names_in_objects_become_text_as_in_pythons_json(
    value: Any, expected: Any
) -> None:
    app = Flask("host", root_path=str(ROOT))
    socketio = SocketIO(app, store="memory:")

    @socketio.on("ask")
    def ask() -> Any:
        emit("told", value)
        return value

    client = socketio.test_client(app)
    assert client.emit("ask", callback=True) == expected
    assert [one["args"] for one in client.get_received()] == [[expected]]


def nested_in_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({1: float("nan")}, "must be text"),
        ({("a", 1): 2}, "must be text"),
        ({1, 2}, "has no order"),
        (2**60, "browsers cannot hold"),
        (nested_in_itself(), "nested"),
    ],
)
def test_values_that_json_cannot_carry_are_errors_of_the_handler(value: Any, sentence: str) -> None:
    app = Flask("host", root_path=str(ROOT))
    socketio = SocketIO(app, store="memory:")
    socketio.on("answer")(lambda: value)
    socketio.on("emit")(lambda: emit("told", value))
    client = socketio.test_client(app)
    for event in ("answer", "emit"):
        with pytest.raises(TypeError, match=sentence):
            client.emit(event)


def test_a_class_of_handlers_has_the_methods_of_python_socketios() -> None:
    # given a class that names viewers by their sid, as python-socketio's do
    class Game(Namespace):
        def on_play(self, room: int) -> list[str]:
            sid = str(request.sid)  # type: ignore[attr-defined]
            self.enter_room(sid, room)
            self.emit("in", self.rooms(sid)[1:], to=room)
            self.leave_room(sid, room)
            self.emit("in", "again", to=room)
            return self.rooms(sid)[1:]

        def on_leave(self) -> None:
            self.disconnect(request.sid)  # type: ignore[attr-defined]

        def on_disconnect(self, reason: str) -> None:
            reasons.append(reason)

    reasons: list[str] = []
    app = Flask("host", root_path=str(ROOT))
    socketio = SocketIO(app, store="memory:")
    socketio.on_namespace(Game("/game"))
    client = socketio.test_client(app, namespace="/game")
    assert client.emit("play", 5, namespace="/game", callback=True) == []
    assert [one["args"] for one in client.get_received("/game")] == [[["5"]]]
    client.emit("leave", namespace="/game")
    assert not client.is_connected("/game")
    assert reasons == [SocketIO.reason.SERVER_DISCONNECT] == ["server disconnect"]

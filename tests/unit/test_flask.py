"""The extension is a polite guest, and what it does for its host."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import socketio as stock
from flask import Flask, Request, current_app, request, session

import statecast
from statecast import Statecast
from statecast.access.grants import NOTHING
from statecast.errors import (
    BadSetting,
    Malformed,
    NotTaken,
    Refused,
    SourceUnavailable,
    StatecastError,
    StoreUnavailable,
    TooLarge,
    Unavailable,
)
from statecast.flask import runtime_of
from statecast.model import Event
from statecast.server import server
from statecast.stores.changes import ReadCursor


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})


@pytest.fixture
def app() -> Iterator[Flask]:
    app = Flask("host")
    yield app
    if "statecast" in app.extensions:
        runtime_of(app).stop()


@pytest.fixture
def live(app: Flask) -> Statecast:
    return Statecast(app, store="memory:")


# A polite guest


def test_what_an_app_has_is_kept_in_the_app() -> None:
    # given one extension without an app, with options
    live = Statecast(store="memory:", history_versions=5)
    one, other = Flask("one"), Flask("other")

    # when two apps are given to it, one with a key of its own
    other.config["STATECAST_HISTORY_VERSIONS"] = 7
    live.init_app(one)
    live.init_app(other, title="Other")

    # then each has what is its own
    assert runtime_of(one) is one.extensions["statecast"] is not runtime_of(other)
    assert runtime_of(one).store is not runtime_of(other).store
    assert runtime_of(one).settings.title == "Statecast"
    assert runtime_of(other).settings.title == "Other"


def test_options_win_over_the_environment_and_that_over_the_apps_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.environ", {"STATECAST_TITLE": "environment", "STATECAST_PORT": "81"})
    app = Flask("host")
    app.config |= {
        "STATECAST_TITLE": "key",
        "STATECAST_PORT": 82,
        "STATECAST_WSGI_THREADS": 3,
        "OTHER": 1,
    }
    Statecast(app, store="memory:", title="option")
    settings = runtime_of(app).settings
    assert (settings.title, settings.port, settings.wsgi_threads) == ("option", 81, 3)


@pytest.mark.parametrize(
    "options", [{"prot": 80}, {"port": "eighty"}, {"port": 70_000}, {"namespaces": 5}]
)
def test_a_wrong_option_is_told_when_it_is_given(options: dict[str, Any]) -> None:
    with pytest.raises(BadSetting, match=next(iter(options))):
        Statecast(Flask("host"), **options)


def test_a_wrong_key_leaves_the_app_as_it_was(app: Flask) -> None:
    app.config["STATECAST_PROT"] = 80
    with pytest.raises(BadSetting, match="'prot' \\(in the Flask configuration\\)"):
        Statecast(app)
    assert not app.extensions and not app.blueprints


def test_a_second_registration_is_refused_in_a_sentence(app: Flask, live: Statecast) -> None:
    for again in (lambda: live.init_app(app), lambda: Statecast(app)):
        with pytest.raises(
            BadSetting, match=r"The Flask app 'host' has Statecast already.*remove the second"
        ):
            again()
    live.set("pillow", mood="happy")
    assert live.get("pillow") == {"mood": "happy"}


# Which app is meant


def test_outside_of_any_context_the_only_app_is_meant(live: Statecast) -> None:
    heard = []

    def work() -> None:
        live.set("pillow", mood="happy")
        heard.append(live.get("pillow"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == [{"mood": "happy"}]


def test_without_an_app_a_sentence_says_what_to_do() -> None:
    live = Statecast()
    with pytest.raises(BadSetting, match="no app yet; call Statecast\\(app\\)"):
        live.set("pillow", mood="happy")
    with pytest.raises(BadSetting, match="The Flask app 'bare' has no Statecast"):
        runtime_of(Flask("bare"))


def test_with_two_apps_the_current_one_is_meant() -> None:
    live = Statecast(store="memory:")
    one, other = Flask("one"), Flask("other")
    live.init_app(one)
    live.init_app(other)
    with pytest.raises(BadSetting, match=r"serves 2 apps.*app_context"):
        live.set("pillow", mood="lost")
    with one.app_context():
        live.set("pillow", mood="one")
    with other.app_context():
        assert live.get("pillow") is None
        with one.app_context():
            assert live.get("pillow") == {"mood": "one"}


def test_two_extensions_in_one_process_keep_to_their_own_apps() -> None:
    one, other = Flask("one"), Flask("other")
    first, second = Statecast(one, store="memory:"), Statecast(other, store="memory:")
    with other.app_context():  # a route of one app may use the other's extension
        first.set("pillow", mood="first")
        second.set("pillow", mood="second")
    assert (first.get("pillow"), second.get("pillow")) == ({"mood": "first"}, {"mood": "second"})


def test_an_app_that_nobody_kept_is_named_as_the_trouble() -> None:
    live = Statecast(Flask("x"), store="memory:")
    gc.collect()
    with pytest.raises(BadSetting, match="keep its app alive"):
        live.set("pillow", mood="happy")


def test_an_app_that_is_gone_is_forgotten() -> None:
    live = Statecast(store="memory:")
    live.init_app(Flask("gone"))
    kept = Flask("kept")
    live.init_app(kept)
    gc.collect()
    live.set("pillow", mood="happy")
    assert runtime_of(kept).store.get("pillow") is not None


# States


def test_states_are_set_replaced_read_and_removed(live: Statecast) -> None:
    live.set("pillow", mood="happy", battery=80)
    live.set("pillow", {"last-hug": 5, "mood": "shadowed"}, mood="calm", battery=None)
    assert live.get("pillow") == {"mood": "calm", "last-hug": 5}
    live.replace("pillow", mood="new")
    assert live.devices() == {"pillow": {"mood": "new"}}
    live.set("tank", device="a field may be called device", self=1, state={"on": True})
    assert live.get("tank") == {
        "device": "a field may be called device",
        "self": 1,
        "state": {"on": True},
    }
    live.delete("pillow")
    live.delete("never-was")
    assert live.get("pillow") is None and list(live.devices()) == ["tank"]


def test_what_was_read_is_a_copy(live: Statecast) -> None:
    live.set("pillow", position={"x": 1})
    live.get("pillow")["position"]["x"] = 2  # type: ignore[index]
    assert live.get("pillow") == {"position": {"x": 1}}


def test_an_edit_is_the_users_and_no_sign_of_life(live: Statecast) -> None:
    live.set("pillow", mood="happy")
    update = live.runtime.store.get("pillow")
    assert update is not None
    assert (update.cause.source, update.cause.by, update.seen_at) == ("api", "user", None)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, 2**53, "\ud800", object(), {5: 1}, {"a\0": 1}, b"bytes", {1, 2}]
)
def test_a_value_that_json_cannot_carry_is_refused(live: Statecast, value: Any) -> None:
    for act in (live.set, live.replace):
        with pytest.raises(Refused):
            act("pillow", field=value)
    with pytest.raises(Refused):
        live.send({"device": "pillow", "state": {"field": value}})
    if value != b"bytes":  # an event may carry them
        with pytest.raises(Refused):
            live.emit("message", value)
    assert live.get("pillow") is None


@pytest.mark.parametrize("name", ["", "a//b", "..", "ü", "n" * 129, "*", None, 5])
def test_what_is_no_name_is_refused(live: Statecast, name: Any) -> None:
    for act in (live.set, live.replace, live.delete, live.get):
        with pytest.raises(Malformed):
            act(name)


@pytest.mark.parametrize("state", ["text", [1], 5])
def test_what_is_no_state_is_refused(live: Statecast, state: Any) -> None:
    with pytest.raises(Malformed):
        live.set("pillow", state)


def test_a_state_too_large_is_refused(live: Statecast) -> None:
    with pytest.raises(TooLarge):
        live.set("pillow", text="x" * 65_536)


# Messages and events


def test_a_message_goes_into_the_queue(live: Statecast) -> None:
    id_ = live.send({"device": "pillow", "state": {"mood": "happy"}, "by": "user"})
    (waiting,) = live.runtime.queue.receive(10, 0)
    assert waiting.id == id_
    assert json.loads(waiting.body) == {
        "device": "pillow",
        "state": {"mood": "happy"},
        "by": "user",
    }
    with pytest.raises(Malformed):
        live.send({"state": {}})


def test_an_event_is_handed_to_every_process(live: Statecast) -> None:
    after = live.runtime.store.read(ReadCursor()).cursor
    live.emit("message", {"time": "12:00"}, namespace="/test", to="room")
    live.emit("plain", b"x", to=["a", "b"], skip="sid")
    live.emit("for no viewer", to=[])
    assert live.runtime.store.read(after).events == [
        Event("/test", "message", b'[{"time":"12:00"}]', ("room",)),
        Event("/", "plain", b'[{"_placeholder":true,"num":0}]', ("a", "b"), ("sid",), (b"x",)),
    ]
    with pytest.raises(Malformed):
        live.emit("connect")


def test_handlers_may_come_before_and_after_the_app_and_run_in_its_context() -> None:
    # given handlers before and after
    live = Statecast(store="memory:")

    @live.on("early")
    def early(sid: str, data: Any) -> Any:
        live.set("pillow", mood=data)
        return current_app.name, sid

    app = Flask("host")
    live.init_app(app)

    @live.on("late", namespace="/test")
    async def late(sid: str) -> str:
        return current_app.name

    # then the app has both, they find it, and the decorated functions are what they were
    (name, first, space), (other, second, other_space) = runtime_of(app).viewers.handlers
    assert (name, space, other, other_space) == ("early", "/", "late", "/test")
    assert first("sid", "happy") == ("host", "sid")
    assert live.get("pillow") == {"mood": "happy"}
    assert asyncio.run(second("sid")) == "host"
    assert early.__name__ == first.__name__ == "early"
    with pytest.raises(RuntimeError):
        early("sid", "outside")  # no wrapper: current_app is nobody's business here


def test_viewers_enter_rooms_and_hear_what_is_emitted_there(app: Flask) -> None:
    # given a served app that lets viewers into rooms, and a stock client in each of two
    live = Statecast(app, store="memory:", port=0)

    @live.on("join", namespace="/test")
    def join(sid: str, room: str) -> str:
        live.enter(sid, room)
        return "welcome"

    @live.on("part", namespace="/test")
    def part(sid: str, room: str) -> str:
        live.leave(sid, room)
        return "farewell"

    with pytest.raises(BadSetting, match="no viewers"):
        live.rooms("sid")
    serving = server.BackgroundServer(runtime_of(app), app)
    serving.start()
    heard: queue.Queue[tuple[str, Any]] = queue.Queue()
    clients = {room: stock.Client() for room in ("attic", "cellar")}
    try:
        for room, client in clients.items():
            client.on("message", lambda data, room=room: heard.put((room, data)), namespace="/test")
            client.connect(serving.address, namespaces=["/test"])
            assert client.call("join", room, namespace="/test", timeout=20) == "welcome"

        # when something is emitted to one room and then to all, then those hear it who are there
        live.emit("message", 1, namespace="/test", to="attic")
        live.emit("message", 2, namespace="/test")
        assert sorted(heard.get(timeout=20) for _ in range(3)) == [
            ("attic", 1),
            ("attic", 2),
            ("cellar", 2),
        ]

        # when the viewer has left the room, then it hears only what is for all
        assert clients["attic"].call("part", "attic", namespace="/test", timeout=20) == "farewell"
        live.emit("message", 3, namespace="/test", to="attic")
        live.emit("message", 4, namespace="/test")
        assert sorted(heard.get(timeout=20) for _ in range(2)) == [("attic", 4), ("cellar", 4)]
    finally:
        for client in clients.values():
            client.disconnect()
        serving.stop()


def test_under_another_server_the_extension_reads_and_sends_and_one_beside_it_serves(
    tmp_path: Path,
) -> None:
    # given an app under another server, and on the same store a server, with a stock client
    apps = Flask("sends"), Flask("serves")
    sends, serves = (
        Statecast(app, store=f"sqlite:///{tmp_path}/states.db", port=0) for app in apps
    )
    serving = server.BackgroundServer(serves.runtime, apps[1])
    serving.start()
    heard: queue.Queue[Any] = queue.Queue()
    client = stock.Client()
    try:
        client.on("message", heard.put)
        client.connect(serving.address)

        # when it sends and emits, then the server moves the message, and tells its viewers
        sends.send({"device": "pillow", "state": {"mood": "happy"}})
        sends.emit("message", "hello")
        assert heard.get(timeout=20) == "hello"
        while sends.get("pillow") is None:
            sends.runtime.store.wait(5)
        assert serves.get("pillow") == sends.get("pillow") == {"mood": "happy"}
        assert sends.runtime.consumers == []
    finally:
        client.disconnect()
        serving.stop()
        sends.runtime.stop()


# Polls


def test_polls_are_sources_and_may_come_before_and_after_the_app() -> None:
    live = Statecast(store="memory:")

    @live.poll("early", every=0.5)
    def early() -> dict[str, str]:
        live.emit("message", {"from": current_app.name})
        return {"app": current_app.name}

    app = Flask("host")
    live.init_app(app)

    @live.poll("late")
    def late() -> None:
        raise ZeroDivisionError

    (first, decode), (second, _) = runtime_of(app).sources
    assert (first.name, first.every, second.name, second.every) == ("early", 0.5, "late", 1.0)  # type: ignore[attr-defined]
    (delivery,) = first.receive(1, 0)
    (change,) = decode(delivery).changes
    assert (change.device, change.state, change.by) == ("early", {"app": "host"}, "device")
    with pytest.raises(SourceUnavailable, match=r"late\(\) failed"):
        second.receive(1, 0)


@pytest.mark.parametrize("every", [0, -1, math.nan, math.inf, "often", None, True])
def test_a_period_that_is_none_is_told(live: Statecast, every: Any) -> None:
    with pytest.raises(BadSetting, match="`every`"):
        live.poll("clock", every=every)


def test_a_poll_needs_the_name_of_a_device_that_no_other_has(live: Statecast) -> None:
    with pytest.raises(BadSetting, match="name of a device"):
        live.poll("no name")
    live.poll("clock")(lambda: None)
    with pytest.raises(BadSetting, match="two sources called 'clock'"):
        live.poll("clock")(lambda: None)


# Serving


class Served:
    """In place of the server: what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ends: int | Exception = 0) -> None:
        self.ends = ends
        self.asked: list[tuple[Any, Any]] = []
        monkeypatch.setattr(server, "serve", self.serve)

    def serve(self, runtime: Any, app: Any) -> int:
        self.asked.append((runtime, app))
        if isinstance(self.ends, Exception):
            raise self.ends
        return self.ends


def test_run_serves_and_ends_the_program_with_the_servers_status(
    app: Flask, live: Statecast, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(monkeypatch, 143)
    with pytest.raises(SystemExit) as ended:
        live.run(app, port=0)
    assert ended.value.code == 143
    assert served.asked == [(runtime_of(app), app)]
    assert runtime_of(app).settings.port == 0 and runtime_of(app).settings.store == "memory:"
    with pytest.raises(SystemExit):
        live.run()
    assert len(served.asked) == 2


@pytest.mark.parametrize(
    ("options", "ends", "sentence"),
    [
        (
            {},
            BadSetting("Binding to 0.0.0.0 needs --allow-public."),
            "Statecast: Binding to 0.0.0.0 needs --allow-public.",
        ),
        ({}, StoreUnavailable("The disk is full."), "Statecast: The disk is full."),
        (
            {"port": 70_000},
            0,
            "Statecast: The setting port must be between 0 and 65535; it is 70000.",
        ),
        ({"app": Flask("bare")}, 0, "Statecast: The Flask app 'bare' has no Statecast;"),
    ],
)
def test_run_that_cannot_ends_with_a_sentence(
    live: Statecast,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    ends: int | Exception,
    sentence: str,
) -> None:
    Served(monkeypatch, ends)
    with pytest.raises(SystemExit) as ended:
        live.run(**options)
    assert str(ended.value.code).startswith(sentence)


def test_run_needs_to_know_which_app() -> None:
    with pytest.raises(SystemExit, match="Say which app to serve"):
        Statecast().run()


# What the package offers


def test_every_public_name_is_there_and_nothing_else_is_pretended() -> None:
    for name in statecast.__all__:
        assert getattr(statecast, name)
    assert not hasattr(statecast, "nothing")


# Who may do what


def test_the_application_says_what_a_request_may_do(app: Flask, live: Statecast) -> None:
    # given a function that needs Flask's session, and an app that sets it
    app.secret_key = "a secret of this test"

    @live.authorize
    def rights(asked: Request) -> Any:
        if "explode" in asked.args:
            raise ZeroDivisionError
        return session.get("rights")

    @app.get("/own")
    def own() -> Any:
        return {"rights": runtime_of(app).rights.authorize(request)}

    client = app.test_client()
    # then it is asked within a request, and answers nothing without an opinion
    assert client.get("/own").json == {"rights": None}
    with client.session_transaction() as kept:
        kept["rights"] = {"pillow": "read"}
    assert client.get("/own").json == {"rights": {"pillow": "read"}}
    # and outside of one, as for a viewer, by the cookies that its request had
    cookie = client.get_cookie("session")
    assert cookie is not None
    environ = app.test_request_context("/", headers={"Cookie": f"session={cookie.value}"})
    runtime = runtime_of(app)
    assert runtime.rights.authorize(environ.request) == {"pillow": "read"}
    # and an error allows nothing
    failing = app.test_request_context("/?explode", headers={"Cookie": f"session={cookie.value}"})
    assert runtime.rights.authorize(failing.request) == NOTHING
    # and there is one such function
    with pytest.raises(BadSetting, match="a second one"):
        live.authorize(rights)


def test_without_a_function_the_application_has_no_opinion(app: Flask, live: Statecast) -> None:
    assert not runtime_of(app).rights.asks_application
    assert runtime_of(app).rights.authorize(app.test_request_context().request) is None


# What a view does not handle

REFUSALS: dict[str, tuple[Callable[[Statecast], object], int, str]] = {
    "a command that is not taken": (
        lambda live: live.command("pillow", "dance"),
        409,
        "“pillow” does not take “dance”; it takes “hug”.",
    ),
    "a full device": (
        lambda live: [live.command("pillow", "hug") for _ in range(2)],
        429,
        "“pillow” has 1 open commands",
    ),
    "no device": (lambda live: live.command("chair", "hug"), 404, "No device called “chair”"),
    "a wrong name": (lambda live: live.set("a b", x=1), 400, "is not a name"),
    "a large state": (lambda live: live.set("pillow", x="x" * 70_000), 413, "bytes"),
    "a store that is away": (lambda live: away(), 503, "The disk is away."),
    "a defect": (lambda live: 1 // 0, 500, ""),
}


def away() -> None:
    raise Unavailable("The disk is away.")


@pytest.fixture
def hugged(app: Flask) -> Statecast:
    live = Statecast(app, store="memory:", device_commands={"pillow": ["hug"]}, max_open_commands=1)
    live.set("pillow", mood="calm")
    return live


@pytest.mark.parametrize("which", REFUSALS)
def test_a_refusal_that_a_view_does_not_handle_has_its_status(
    app: Flask, hugged: Statecast, which: str
) -> None:
    act, status, sentence = REFUSALS[which]
    app.add_url_rule("/act", view_func=lambda: str(act(hugged)))
    answer = app.test_client().get("/act")
    assert answer.status_code == status
    if status != 500:
        assert answer.content_type == "application/problem+json"
        assert sentence in answer.get_json()["detail"]
        assert ("Retry-After" in answer.headers) is (status in (429, 503))


@pytest.mark.parametrize("kind", [NotTaken, Refused, StatecastError, Exception])
@pytest.mark.parametrize("first", [True, False])
def test_handlers_of_the_application_decide_as_before(
    app: Flask, kind: type[Exception], first: bool
) -> None:
    def own(error: Exception) -> tuple[str, int]:
        return f"own: {error}", 418

    if first:
        app.register_error_handler(kind, own)
    live = Statecast(app, store="memory:", device_commands={"pillow": ["hug"]})
    if not first:
        app.register_error_handler(kind, own)
    live.set("pillow", mood="calm")
    app.add_url_rule("/act", "act", lambda: str(live.command("pillow", "dance")))
    app.add_url_rule("/try", "try", lambda: handled(live))
    answer = app.test_client().get("/act")
    assert (answer.status_code, answer.text[:4]) == (418, "own:")
    # and what a view handles itself never gets there
    assert app.test_client().get("/try").text == "no dance"


def handled(live: Statecast) -> str:
    try:
        live.command("pillow", "dance")
    except NotTaken:
        return "no dance"
    return "a dance"


def test_edits_return_the_version_that_they_made(live: Statecast) -> None:
    assert live.set("pillow", mood="calm") == 1
    assert live.set("pillow", mood="calm") == 1
    assert live.replace("pillow", mood="happy") == 2
    assert live.delete("pillow") == 3
    assert live.delete("chair") is None and live.set("chair", mood=None) == 1

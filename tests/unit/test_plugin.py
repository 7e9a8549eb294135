"""The pytest plugin: fixtures for the tests of applications, run here with pytester."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import statecast.testing.app_under_test  # noqa: F401 - pytester drops what an inner run imports

pytest_plugins = "pytester"

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "test-your-app.md"
FILE = re.compile(r"<!-- file: (\S+)\.py -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

APP = """
from flask import Flask, request, session
from statecast import ConnectionRefused, Refused, Statecast

live = Statecast()

def create_app(**config):
    app = Flask(__name__)
    app.secret_key = "for tests"
    app.config.update(config)
    live.init_app(app)

    @app.post("/hug")
    def hug():
        live.send({"device": "pillow", "state": {"mood": "happy"}, "silent_after": 60})
        return "thanks"

    @app.post("/login")
    def login():
        session["user"] = "ada"
        return "welcome"

    return app

@live.poll("clock", every=1)
def clock():
    return {"calls": len(calls.append(1) or calls)}

calls = []

@live.on("connect", request=True)
def connect(sid, auth):
    if auth == {"token": "wrong"}:
        raise ConnectionRefused("Who are you?", {"code": 7})

@live.on("greet")
def greet(sid, name):
    live.emit("greeting", f"hello {name}", skip=sid)
    return "greeted"

@live.on("join")
def join(sid, room):
    live.enter(sid, room)
    live.emit("joined", sid, to=room)
    return live.rooms(sid)

@live.on("ask")
def ask(sid):
    return live.call("question", "really?", to=sid)

@live.on("later")
async def later(sid):
    import asyncio
    await asyncio.sleep(5)
    live.emit("done", to=sid)

@live.on("refuse")
def refuse(sid):
    raise Refused("Not today.")

@live.on("fail")
def fail(sid):
    raise ZeroDivisionError("a defect of the app")

@live.on_change("door")
def door(device, before, after):
    live.set("light", on=after["open"])

@live.on("move", namespace="/game")
def move(sid, data):
    live.emit("moved", data, namespace="/game")
"""

FACTORY = """
import pytest
import pillow_app

@pytest.fixture
def app():
    pillow_app.calls.clear()
    return pillow_app.create_app()
"""

CASES = {
    "a message makes the page show it": """
        def test_it(statecast_app, statecast_viewer):
            statecast_app.client.post("/hug")
            assert statecast_viewer.states["pillow"] == {"mood": "happy"}
        """,
    "a message is in the store at once": """
        def test_it(statecast_app):
            statecast_app.client.post("/hug")
            with statecast_app.app.app_context():
                assert pillow_app.live.get("pillow") == {"mood": "happy"}
        """,
    "the queue": """
        def test_it(statecast_source, statecast_viewer):
            statecast_source.put({"device": "pillow", "state": {"mood": "sad"}})
            statecast_source.put([{"device": "floor/1", "state": {"on": True}}])
            assert statecast_viewer.states == {
                "pillow": {"mood": "sad"}, "floor/1": {"on": True}, "clock": {"calls": 1},
            }
            statecast_viewer.watch("floor/*")
            assert statecast_viewer.states == {"floor/1": {"on": True}}
            assert statecast_viewer.details["floor/1"]["version"] == 1
        """,
    "a queue that is away": """
        def test_it(statecast_source, statecast_viewer):
            statecast_source.away = "The queue is on strike."
            statecast_source.put({"device": "pillow", "state": {"mood": "sad"}})
            assert "pillow" not in statecast_viewer.states
            assert statecast_viewer.health["sources"]["queue"]["sentence"] == (
                "The queue is on strike."
            )
            statecast_source.away = None
            assert statecast_viewer.states["pillow"] == {"mood": "sad"}
        """,
    "a deadline passes": """
        def test_it(statecast_app, statecast_viewer, statecast_clock):
            statecast_app.client.post("/hug")
            statecast_clock.advance(60)
            assert not statecast_viewer.silent
            statecast_clock.advance(1)
            assert statecast_viewer.silent == {"pillow"}
            statecast_app.client.post("/hug")
            statecast_clock.advance(2)
            assert not statecast_viewer.silent
        """,
    "a polled function": """
        def test_it(statecast_viewer, statecast_clock):
            assert statecast_viewer.states["clock"] == {"calls": 1}
            statecast_clock.advance(10)
            assert statecast_viewer.states["clock"] == {"calls": 11}
        """,
    "emit and acknowledgement": """
        def test_it(statecast_app, statecast_viewer):
            second = statecast_app.viewer()
            assert statecast_viewer.emit("greet", "ada") == "greeted"
            assert second.events == [("greeting", "hello ada")]
            assert statecast_viewer.events == []
        """,
    "rooms": """
        def test_it(statecast_app, statecast_viewer):
            second = statecast_app.viewer()
            assert statecast_viewer.emit("join", "sofa") == [statecast_viewer.sid, "sofa"]
            assert statecast_viewer.events == [("joined", statecast_viewer.sid)]
            assert second.events == []
        """,
    "a question to a viewer": """
        def test_it(statecast_viewer):
            statecast_viewer.on("question", lambda text: text.upper())
            assert statecast_viewer.emit("ask") == "REALLY?"
        """,
    "a question without an answer": """
        def test_it(statecast_viewer):
            with pytest.raises(TimeoutError, match="Say in the test what it answers"):
                statecast_viewer.emit("ask")
        """,
    "a coroutine that waits": """
        def test_it(statecast_viewer, statecast_clock):
            assert statecast_viewer.emit("later") is None
            statecast_clock.advance(4.9)
            assert statecast_viewer.events == []
            statecast_clock.advance(0.1)
            assert statecast_viewer.events == [("done",)]
        """,
    "a refusal": """
        def test_it(statecast_viewer):
            assert statecast_viewer.emit("refuse") == {"error": "Not today."}
        """,
    "a refused connection": """
        def test_it(statecast_app):
            with pytest.raises(ConnectionRefused, match="Who are you") as refusal:
                statecast_app.viewer(auth={"token": "wrong"})
            assert refusal.value.data == {"code": 7}
        """,
    "a handler that fails": """
        def test_it(statecast_viewer):
            with pytest.raises(ZeroDivisionError, match="a defect of the app"):
                statecast_viewer.emit("fail")
        """,
    "another namespace": """
        def test_it(statecast_app):
            player = statecast_app.viewer(namespace="/game")
            player.emit("move", b"\\x00\\x01")
            assert player.events == [("moved", b"\\x00\\x01")]
        """,
    "the cookies of a browser": """
        def test_it(statecast_app):
            browser = statecast_app.client
            browser.post("/login")
            viewer = statecast_app.viewer(client=browser)
            with statecast_app.app.app_context():
                request = pillow_app.live.request(viewer.sid)
            assert "session" in request.cookies
        """,
    "a page that was away gets what it missed": """
        def test_it(statecast_source, statecast_viewer):
            statecast_source.put({"device": "pillow", "state": {"mood": "sad"}})
            statecast_source.put({"device": "lamp", "state": {"on": True}})
            assert "lamp" in statecast_viewer.states
            statecast_viewer.cut()
            statecast_source.put({"device": "pillow", "state": {"mood": "happy"}})
            statecast_source.put({"device": "lamp", "delete": True})
            assert statecast_viewer.states["pillow"] == {"mood": "sad"}
            statecast_viewer.connect()
            assert statecast_viewer.states["pillow"] == {"mood": "happy"}
            assert "lamp" not in statecast_viewer.states
        """,
    "a restart": """
        def test_it(statecast_app, statecast_source, statecast_viewer):
            statecast_source.put({"device": "pillow", "state": {"mood": "sad"}})
            gone = statecast_app.viewer()
            gone.disconnect()
            statecast_app.restart()
            assert statecast_viewer.states["pillow"] == {"mood": "sad"}
            statecast_source.put({"device": "pillow", "state": {"mood": "happy"}})
            assert statecast_viewer.states["pillow"] == {"mood": "happy"}
            assert statecast_app.viewer().states["pillow"] == {"mood": "happy"}
            assert not gone.connected
        """,
    "a restart on a store in a file": """
        @pytest.fixture
        def statecast_store(tmp_path):
            return f"sqlite:///{tmp_path}/pillow.db"

        def test_it(statecast_app, statecast_source, statecast_viewer):
            statecast_source.put({"device": "pillow", "state": {"mood": "sad"}})
            assert statecast_viewer.states["pillow"] == {"mood": "sad"}
            statecast_app.restart()
            assert statecast_viewer.states["pillow"] == {"mood": "sad"}
            assert statecast_viewer.emit("greet", "ada") == "greeted"
        """,
    "a reaction": """
        def test_it(statecast_source, statecast_viewer, statecast_clock):
            statecast_source.put({"device": "door", "state": {"open": True}})
            assert statecast_viewer.states["light"] == {"on": True}
            statecast_source.put({"device": "door", "state": {"open": None}})
            with pytest.raises(KeyError):
                statecast_viewer.states
            statecast_source.put({"device": "door", "state": {"open": False}})
            statecast_clock.advance(60)
            assert statecast_viewer.states["light"] == {"on": False}
        """,
    "pages and REST": """
        def test_it(statecast_app):
            statecast_app.client.post("/hug")
            client = statecast_app.client
            assert client.get("/api/devices/pillow").json["state"] == {"mood": "happy"}
            assert client.get("/statecast/").status_code == 200
        """,
}


@pytest.fixture
def pillow(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(pillow_app=APP)
    pytester.makeconftest(FACTORY)
    return pytester


HEAD = "import pillow_app\nimport pytest\nfrom statecast import ConnectionRefused\n"


def write_tests(pytester: pytest.Pytester, cases: dict[str, str]) -> None:
    """One file per case: they share one run, because a run takes longer than its tests."""
    sources = {
        f"test_{name.replace(' ', '_')}": HEAD + textwrap.dedent(source)
        for name, source in cases.items()
    }
    pytester.makepyfile(**sources)


def test_what_a_test_of_an_app_can_do(pillow: pytest.Pytester) -> None:
    write_tests(pillow, CASES)
    pillow.runpytest("-W", "error").assert_outcomes(passed=len(CASES))


FAILURES = {
    "a state that is not there": (
        """
        def test_it(statecast_viewer, statecast_source):
            statecast_source.put({"device": "pillow", "state": 5})
            assert statecast_viewer.states["pillow"] == {"mood": "happy"}
        """,
        ["*The page shows no device 'pillow'.", "*It shows: clock.", "*In quarantine: *"],
    ),
    "a device that is not watched": (
        """
        def test_it(statecast_viewer):
            statecast_viewer.watch("lamp")
            assert statecast_viewer.states["pillow"] == {"mood": "happy"}
        """,
        ["*The page shows no device 'pillow'.", "*It watches lamp."],
    ),
    "a pattern that is none": (
        """
        def test_it(statecast_viewer):
            statecast_viewer.watch("pil*")
        """,
        ["*The server does not let it watch*is not a pattern*"],
    ),
    "a viewer that is closed": (
        """
        def test_it(statecast_viewer):
            for _ in range(1000):
                statecast_viewer.watch("pillow")
        """,
        ["*The server closed the connection: more watch requests than a viewer may send*"],
    ),
    "an event without a handler": (
        """
        def test_it(statecast_viewer):
            statecast_viewer.emit("gret", "ada")
        """,
        ["*The app has no handler of 'gret' in /; there are: ask, fail, greet, *"],
    ),
    "a coroutine as a test": (
        """
        import asyncio

        def test_it(request):
            async def test():
                request.getfixturevalue("statecast_app")
            asyncio.run(test())
        """,
        ["*write `def test_...`, not `async def test_...`*"],
    ),
    "an app that has opened its store": (
        """
        @pytest.fixture
        def app():
            app = pillow_app.create_app(STATECAST_STORE="memory:")
            with app.app_context():
                pillow_app.live.set("pillow", mood="sleepy")
            return app

        def test_it(statecast_viewer):
            pass
        """,
        ["*The app has opened its store memory: already*"],
    ),
    "an app without Statecast": (
        """
        from flask import Flask

        @pytest.fixture
        def app():
            return Flask("bare")

        def test_it(statecast_viewer):
            pass
        """,
        ["*The Flask app 'bare' has no Statecast*"],
    ),
    "an app that is no app": (
        """
        @pytest.fixture
        def app():
            return "pillow"

        def test_it(statecast_viewer):
            pass
        """,
        ["*the fixture `app` returns str; it must return the Flask app itself*"],
    ),
}


def test_a_failure_says_what_is_wrong(pillow: pytest.Pytester) -> None:
    write_tests(pillow, {case: source for case, (source, _) in FAILURES.items()})
    result = pillow.runpytest()
    counts = result.parseoutcomes()
    assert counts["failed"] + counts["errors"] == len(FAILURES) and "passed" not in counts
    for _, lines in FAILURES.values():
        for line in lines:
            result.stdout.fnmatch_lines([line])


def test_a_test_without_an_app_says_how_to_name_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(statecast_app): pass")
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*Write a fixture `app` that returns it, or name it*"])


@pytest.mark.parametrize("name", ["module_app:app", "module_app", "module_app:make()"])
def test_the_app_of_a_module_is_named_in_the_configuration(
    name: str, pytester: pytest.Pytester
) -> None:
    """Each test begins with an empty store, and leaves the app's own store alone."""
    pytester.makepyfile(
        module_app="""
        from flask import Flask
        from statecast import Statecast

        app = Flask(__name__)
        live = Statecast(app, store="sqlite:///precious.db")
        make = lambda: app

        @live.on("set")
        def set(sid, mood):
            live.set("pillow", mood=mood)
        """,
        test_module="""
        import os

        def test_first(statecast_viewer):
            statecast_viewer.emit("set", "happy")
            assert statecast_viewer.states == {"pillow": {"mood": "happy"}}

        def test_second(statecast_viewer):
            assert statecast_viewer.states == {}

        def test_third(statecast_app):
            assert not os.path.exists("precious.db")
            assert statecast_app.app is __import__("module_app").app
        """,
    )
    pytester.makeini(f"[pytest]\nstatecast_app = {name}\n")
    pytester.runpytest("-W", "error").assert_outcomes(passed=3)


def test_a_handler_that_fails_at_the_end_does_not_harm_the_next_test(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        module_app="""
        from flask import Flask
        from statecast import Statecast

        app = Flask(__name__)
        live = Statecast(app)

        @live.on("disconnect")
        def disconnect(sid, reason):
            assert reason != "server restart", "a defect of the app"
        """,
        test_module="""
        def test_first(statecast_viewer):
            pass

        def test_second(statecast_viewer, statecast_source):
            statecast_source.put({"device": "pillow", "state": {"mood": "happy"}})
            assert statecast_viewer.states == {"pillow": {"mood": "happy"}}
            statecast_viewer.disconnect()
        """,
    )
    pytester.makeini("[pytest]\nstatecast_app = module_app\n")
    result = pytester.runpytest("-W", "error")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*a defect of the app*"])


def test_a_message_that_no_process_consumes_is_a_warning(pillow: pytest.Pytester) -> None:
    """Without the kit nothing consumes the queue."""
    source = """
        @pytest.fixture
        def app(tmp_path):
            return pillow_app.create_app(STATECAST_STORE=f"sqlite:///{tmp_path}/pillow.db")

        def test_it(app):
            app.test_client().post("/hug")
        """
    write_tests(pillow, {"unserved": source})
    result = pillow.runpytest_subprocess()  # its filters of warnings are not those of this run
    result.assert_outcomes(passed=1, warnings=2)
    result.stdout.fnmatch_lines(["*Messages of live.send wait in the queue 'queue'*statecast_app*"])


def test_flask_socketio_code_is_tested_with_the_same_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        chat="""
        from flask import Flask, request
        from statecast.socketio import SocketIO, emit, join_room

        app = Flask(__name__)
        socketio = SocketIO(app)

        @socketio.on("join")
        def join(room):
            join_room(room)
            emit("joined", room, to=room)
            return "in"
        """,
        test_chat="""
        import chat

        def test_viewer(statecast_app, statecast_viewer):
            assert statecast_viewer.emit("join", "sofa") == "in"
            assert statecast_viewer.events == [("joined", "sofa")]

        def test_both(statecast_app, statecast_viewer):
            other = chat.socketio.test_client(chat.app)
            statecast_viewer.emit("join", "sofa")
            assert other.emit("join", "sofa", callback=True) == "in"
            assert [one["name"] for one in other.get_received()] == ["joined"]
            assert len(statecast_viewer.events) == 2
        """,
    )
    pytester.makeini("[pytest]\nstatecast_app = chat:app\n")
    pytester.runpytest("-W", "error").assert_outcomes(passed=2)


def test_the_how_to_typed_into_an_empty_folder_works(pytester: pytest.Pytester) -> None:
    files = dict(FILE.findall(HOW_TO.read_text("utf-8")))
    pytester.makepyfile(**files)
    tests = sum(
        source.count("\ndef test_") + source.startswith("def test_") for source in files.values()
    )
    assert tests >= 7
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=tests)

    # and named in the configuration instead of in a fixture
    (pytester.path / "conftest.py").unlink()
    ini = re.search(r"```ini\n(.*?)```", HOW_TO.read_text("utf-8"), re.DOTALL)
    assert ini is not None
    pytester.makefile(".ini", pytest=ini[1])
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=tests)


def test_the_plugin_costs_nothing_where_it_is_not_used() -> None:
    """pytest imports it at every start: neither Flask nor a store comes with it."""
    program = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import statecast.testing.plugin\n"
        "added = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(added - set(sys.stdlib_module_names)))\n"
        "print(len([n for n in set(sys.modules) - before if n.startswith('statecast')]))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found, number = run.stdout.splitlines()
    assert found == "['statecast']"
    assert int(number) <= 5

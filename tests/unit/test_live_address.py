"""Where the pages of a request find the live endpoint: under our own server, and under another."""

from __future__ import annotations

from types import SimpleNamespace

import flask
import pytest

from statecast import Statecast
from statecast.errors import BadSetting
from statecast.settings import Settings
from statecast.web.live_address import live_address, live_origin

NOT_OURS: dict[str, object] = {}


def ours(path: str, root_path: str = "") -> dict[str, object]:
    """The environment of a request that our own server answers."""
    return {"asgi.scope": {"path": path, "root_path": root_path}}


@pytest.mark.parametrize(
    ("live_url", "environ", "script_root", "address", "origin"),
    [
        # our own server: beside the page, whatever the setting says
        ("", ours("/statecast/"), "", "/socket.io/", ""),
        ("https://live.example", ours("/statecast/"), "", "/socket.io/", ""),
        ("", ours("/app/statecast/", "/app"), "/app", "/app/socket.io/", ""),
        ("", ours("/inner/statecast/"), "/inner", "/socket.io/", ""),
        ("", ours("/app/inner/statecast/", "/app"), "/app/inner", "/app/socket.io/", ""),
        # another server
        ("", NOT_OURS, "", "", ""),
        ("", NOT_OURS, "/app", "", ""),
        (".", NOT_OURS, "", "/socket.io/", ""),
        (".", NOT_OURS, "/app", "/app/socket.io/", ""),
        ("/", NOT_OURS, "/app", "/socket.io/", ""),
        ("/live", NOT_OURS, "/app", "/live/socket.io/", ""),
        ("/live/", NOT_OURS, "", "/live/socket.io/", ""),
        (
            "http://127.0.0.1:8000",
            NOT_OURS,
            "/app",
            "http://127.0.0.1:8000/socket.io/",
            "http://127.0.0.1:8000",
        ),
        (
            "https://live.example/one/",
            NOT_OURS,
            "",
            "https://live.example/one/socket.io/",
            "https://live.example",
        ),
        ("http://[::1]:8000/", NOT_OURS, "", "http://[::1]:8000/socket.io/", "http://[::1]:8000"),
    ],
)
def test_the_address_for_a_request(
    live_url: str, environ: dict[str, object], script_root: str, address: str, origin: str
) -> None:
    runtime = SimpleNamespace(settings=Settings(live_url=live_url))
    environ = {"SCRIPT_NAME": script_root, **environ}
    with flask.Flask("host").test_request_context("/statecast/", environ_overrides=environ):
        assert live_address(runtime) == address
        assert live_origin(runtime) == origin


@pytest.mark.parametrize(
    "wrong",
    [
        *("live.example", "ftp://live.example", "javascript:alert(1)", "//live.example", ".."),
        *("https://", "http://a b", "https://user@live.example", "https://live.example?x=1"),
        *("https://live.example/a//b", "https://live.example/..", 'https://a"b', "http://a:port"),
        *(
            "http://a:99999",
            "http://[",
            "http://:80",
            "/a b",
            "/a'b",
            "/a;b",
            "https://live.example; img-src *",
        ),
    ],
)
def test_an_address_that_could_become_more_than_an_address_is_refused(wrong: str) -> None:
    with pytest.raises(BadSetting, match="The setting live_url must be a URL like https://live"):
        Settings(live_url=wrong)


# A stock client that asks the page's own server


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("live_url", "script_root", "target"),
    [
        ("http://127.0.0.1:8000", "", "http://127.0.0.1:8000/socket.io/"),
        ("https://live.example/one", "/app", "https://live.example/one/socket.io/"),
        ("/live", "/app", "/live/socket.io/"),
        ("/", "/app", "/socket.io/"),
    ],
)
def test_a_client_without_an_address_is_sent_on_and_the_log_says_what_to_write(
    caplog: pytest.LogCaptureFixture, live_url: str, script_root: str, target: str, method: str
) -> None:
    app = flask.Flask("host")
    Statecast(app, store="memory:", live_url=live_url)
    query = "EIO=4&transport=polling&t=%0d%0aSet-Cookie:a&sid=//evil.example"
    answer = app.test_client().open(
        f"/socket.io/?{query}", method=method, environ_overrides={"SCRIPT_NAME": script_root}
    )
    assert (answer.status_code, answer.headers["Location"]) == (307, f"{target}?{query}")
    assert answer.headers["Cache-Control"] == "no-store"
    [line] = caplog.messages
    address = target.removesuffix("/socket.io/")
    assert line.endswith(f"io('{address}')." if "://" in target else f"io({{path: '{target}'}}).")


@pytest.mark.parametrize(
    ("live_url", "script_root", "sentence"),
    [
        ("", "", "This server has no viewers. Start `statecast run` beside it on the same store"),
        (".", "", "The setting live_url says that a proxy passes /socket.io/ to `statecast run`"),
        (".", "/app", "The setting live_url says that a proxy passes /socket.io/"),
        ("/", "", "The setting live_url says that a proxy passes /socket.io/"),
        ("/app", "/app", "The setting live_url says that a proxy passes /socket.io/"),
    ],
)
def test_a_client_that_can_be_sent_nowhere_gets_a_sentence_that_its_console_shows(
    caplog: pytest.LogCaptureFixture, live_url: str, script_root: str, sentence: str
) -> None:
    app = flask.Flask("host")
    Statecast(app, store="memory:", live_url=live_url)
    answer = app.test_client().get(
        "/socket.io/?EIO=4", environ_overrides={"SCRIPT_NAME": script_root}
    )
    assert answer.status.startswith(f"404 {sentence}") and answer.text.startswith(sentence)
    assert "\n" not in answer.status
    assert caplog.messages == [answer.text.strip()]

"""Where the pages of a request find the live endpoint: under our own server, and under another."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import flask
import pytest
from werkzeug.middleware.proxy_fix import ProxyFix

from statecast import Statecast
from statecast.errors import BadSetting
from statecast.flask import runtime_of
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


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {}),
        ("POST", {}),
        ("GET", {"Upgrade": "websocket", "Connection": "Upgrade"}),
    ],
)
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
    caplog: pytest.LogCaptureFixture,
    live_url: str,
    script_root: str,
    target: str,
    method: str,
    headers: dict[str, str],
) -> None:
    app = flask.Flask("host")
    Statecast(app, store="memory:", live_url=live_url)
    query = "EIO=4&transport=polling&t=%0d%0aSet-Cookie:a&sid=//evil.example"
    client = app.test_client()
    for _ in range(3):  # a client asks again; the log has it once
        answer = client.open(
            f"/socket.io/?{query}",
            method=method,
            headers=headers,
            environ_overrides={"SCRIPT_NAME": script_root},
        )
    assert (answer.status_code, answer.headers["Location"]) == (307, f"{target}?{query}")
    assert answer.headers["Cache-Control"] == "no-store"
    [line] = caplog.messages
    address = target.removesuffix("/socket.io/")
    assert line.endswith(f"io('{address}')." if "://" in target else f"io({{path: '{target}'}}).")


@pytest.mark.parametrize(
    ("live_url", "script_root", "sentence"),
    [
        ("", "", "This server has no viewers. Serve the app with `flask run`, `socketio.run`"),
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


# What an attacker sends


PAGES = ("/statecast/", "/statecast/live-address.js", "/statecast/bind.js", "/socket.io/")


@pytest.mark.parametrize("path", [*PAGES, "/mine"])
@pytest.mark.parametrize(
    "prefix",
    [
        *("//evil.example", "/\\evil.example", "https://evil.example", "evil", "/app//evil"),
        *('/"><script>alert(1)</script>', "/a b", "/a';alert(1)//", "/..", "/app/../x", "/."),
        *("/a?b", "/a#b", "/a;b", "/a\tb"),
    ],
)
def test_a_prefix_that_is_no_path_comes_into_no_page(path: str, prefix: str) -> None:
    # given an app whose server or middleware believes the prefix of every client
    app = flask.Flask("host")
    live = Statecast(app, store="memory:", live_url=".")
    app.get("/mine")(lambda: live_address(runtime_of(app)))
    live.set("pillow", mood="happy")
    # when one sends a prefix that is a host, a script or another folder
    answer = app.test_client().get(path, environ_overrides={"SCRIPT_NAME": prefix})
    # then nothing of it comes back
    runtime_of(app).stop()
    assert (answer.status_code, answer.mimetype) == (400, "text/plain")
    assert "evil" not in answer.text and "alert" not in answer.text
    assert "Location" not in answer.headers


@pytest.mark.parametrize("prefix", ["/app", "/app/inner", "/müll", "/a.b-c_d~e", "/%2F%2Fevil"])
def test_a_prefix_that_is_a_path_is_honoured(prefix: str) -> None:
    app = flask.Flask("host")
    app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)  # type: ignore[method-assign]
    Statecast(app, store="memory:", live_url=".")
    sent = prefix.encode().decode("latin-1")
    answer = app.test_client().get(
        "/statecast/live-address.js", headers={"X-Forwarded-Prefix": sent}
    )
    runtime_of(app).stop()
    assert answer.status_code == 200
    [address] = re.findall(r'new URL\((".*?"), import', answer.text)
    assert json.loads(address) == f"{prefix}/socket.io/"

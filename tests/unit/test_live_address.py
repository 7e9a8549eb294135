"""Where the pages of a request find the live endpoint: under our own server, and under another."""

from __future__ import annotations

from types import SimpleNamespace

import flask
import pytest

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
    runtime = SimpleNamespace(settings=Settings(live_url=live_url), live_origin=str)
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

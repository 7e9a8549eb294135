"""The WSGI environment: PEP 3333, by its own validator and by known values."""

from __future__ import annotations

import io
import sys
from typing import Any
from wsgiref.validate import validator

import pytest

from statecast.server.wsgi_environ import build_environ

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "query_string": b"",
    "http_version": "1.1",
    "headers": [],
    "server": ("127.0.0.1", 8000),
    "client": ("203.0.113.7", 4711),
    "scheme": "http",
    "root_path": "",
}


def environ(body: bytes = b"", **changes: Any) -> dict[str, Any]:
    return build_environ(SCOPE | changes, body)


def test_a_plain_request() -> None:
    """All of it: what is not here is not there."""
    built = environ(query_string=b"x=%20&y")
    assert built.pop("wsgi.input").read() == b""
    assert built.pop("wsgi.errors") is sys.stderr
    assert built.pop("asgi.scope")["path"] == "/"
    assert built == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "x=%20&y",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "203.0.113.7",
        "REMOTE_PORT": "4711",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "statecast.local": False,
        "statecast.by_proxy": False,
    }


@pytest.mark.parametrize(
    ("root_path", "path", "script_name", "path_info"),
    [
        ("", "/a/b", "", "/a/b"),
        ("/app", "/app/a", "/app", "/a"),
        ("/app", "/app", "/app", ""),
        ("/app", "/apple", "/app", "/apple"),
        ("/app", "/a", "/app", "/a"),
        ("", "/\u00fc/\u20ac", "", "/\u00c3\u00bc/\u00e2\u0082\u00ac"),
        ("/\u00fc", "/\u00fc/\u00fc", "/\u00c3\u00bc", "/\u00c3\u00bc"),
    ],
)
def test_paths(root_path: str, path: str, script_name: str, path_info: str) -> None:
    built = environ(root_path=root_path, path=path)
    assert (built["SCRIPT_NAME"], built["PATH_INFO"]) == (script_name, path_info)


def test_a_query_may_hold_any_byte() -> None:
    assert environ(query_string=b"\xc3\xbc")["QUERY_STRING"] == "\u00c3\u00bc"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"host", b"pillow:80")], {"HTTP_HOST": "pillow:80"}),
        ([(b"x-mood", b"happy"), (b"x-mood", b"calm")], {"HTTP_X_MOOD": "happy,calm"}),
        ([(b"cookie", b"a=1"), (b"cookie", b"b=2")], {"HTTP_COOKIE": "a=1; b=2"}),
        ([(b"x-name", b"\xc3\xbc")], {"HTTP_X_NAME": "\u00c3\u00bc"}),
        ([(b"content-type", b"a/b")], {"CONTENT_TYPE": "a/b"}),
        ([(b"Content-Type", b"a/b")], {"CONTENT_TYPE": "a/b"}),
        # looks like x-forwarded-for, which a proxy before us may have set
        ([(b"x_forwarded_for", b"1"), (b"x-forwarded_for", b"2")], {}),
        # about the transport, not about the body that the application gets
        ([(b"content-length", b"7"), (b"content_length", b"8")], {}),
        ([(b"transfer-encoding", b"chunked")], {}),
    ],
)
def test_headers(headers: list[tuple[bytes, bytes]], expected: dict[str, str]) -> None:
    built = environ(headers=headers)
    assert {name: built[name] for name in built.keys() - environ().keys()} == expected


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("GET", b"", None),
        ("GET", b"hug", "3"),
        ("DELETE", b"", None),
        *((method, b"", "0") for method in ("POST", "PUT", "PATCH")),
        ("POST", b"hug", "3"),
    ],
)
def test_the_length_is_that_of_the_body(method: str, body: bytes, length: str | None) -> None:
    built = environ(body, method=method, headers=[(b"content-length", b"99")])
    assert built.get("CONTENT_LENGTH") == length
    assert built["wsgi.input"].read() == body


def test_a_socket_in_the_file_system_has_neither_port_nor_peer() -> None:
    built = environ(server=("/run/statecast", None), client=None)
    assert (built["SERVER_NAME"], built["SERVER_PORT"]) == ("/run/statecast", "0")
    assert "REMOTE_ADDR" not in built
    built = environ(server=None)
    assert (built["SERVER_NAME"], built["SERVER_PORT"]) == ("localhost", "80")


def test_https_behind_a_proxy() -> None:
    assert environ(scheme="https", http_version="1.0")["wsgi.url_scheme"] == "https"


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_the_standard_librarys_validator_finds_nothing(method: str) -> None:
    def app(built: dict[str, Any], start_response: Any) -> list[bytes]:
        built["wsgi.input"].read(3)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    headers = [(b"host", b"pillow"), (b"x-mood", b"calm"), (b"content-type", b"a/b")]
    built = environ(b"hug", method=method, headers=headers, path="/\u00fc")
    built["wsgi.errors"] = io.StringIO()
    answer = validator(app)(built, lambda *_: lambda data: None)  # type: ignore[arg-type]
    assert list(answer) == [b"ok"]
    answer.close()  # type: ignore[attr-defined]

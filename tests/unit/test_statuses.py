"""Every status of an error that the document of REST names: a request that really gets it.

The table has a line for each, and each answer has the documented shape.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from flask import Flask

from statecast.access.grants import Grants
from statecast.errors import StoreUnavailable
from statecast.flask import create_app, runtime_of
from statecast.openapi import statuses
from statecast.runtime import Runtime
from statecast.server.server import BackgroundServer
from statecast.settings import Settings
from tests.unit.serving import RawResponse, fetch

PUT = b"PUT /api/devices/pillow HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
OTHER = b"X-Forwarded-For: 192.0.2.7\r\n"
"""Of a request that a trusted proxy passes on for another machine."""
HUG = b'{"name":"hug"}'


def get(
    target: bytes, fields: bytes = b"", version: bytes = b"1.1", host: bytes = b"localhost"
) -> bytes:
    return b"GET %b HTTP/%b\r\nHost: %b\r\nConnection: close\r\n%b\r\n" % (
        target,
        version,
        host,
        fields,
    )


def with_body(method: bytes, target: bytes, body: bytes, fields: bytes = b"") -> bytes:
    kind = b"" if b"Content-Type" in fields else b"Content-Type: application/json\r\n"
    head = b"%b %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n"
    return head % (method, target, len(body)) + kind + fields + b"\r\n" + body


class Case(NamedTuple):
    status: int
    request: bytes
    detail: str
    """Part of the sentence."""
    header: str = ""
    """A header field that the answer has."""


CASES = {
    "an unknown argument": Case(400, get(b"/api/devices?colour=red"), "has no argument"),
    "no name of a device": Case(400, get(b"/api/devices/a%20b"), "is not a name of a device"),
    "no JSON": Case(400, with_body(b"PUT", b"/api/devices/pillow", b"{"), "It is not JSON"),
    "no key": Case(401, get(b"/api/devices", OTHER), "", "www-authenticate"),
    "a wrong key": Case(
        401, get(b"/api/devices", b"Authorization: Bearer sk_a_b\r\n"), "", "www-authenticate"
    ),
    "a page of another site": Case(
        403, with_body(b"PUT", b"/api/devices/pillow", b"{}", b"Origin: http://evil.test\r\n"), ""
    ),
    "no such device": Case(404, get(b"/api/devices/missing"), "missing"),
    "no such command": Case(404, get(b"/api/commands/missing"), "missing"),
    "nothing there": Case(404, get(b"/api/nothing"), "nothing at this address"),
    "another method": Case(405, with_body(b"POST", b"/api/devices", b"{}"), "POST", "allow"),
    "a body that does not come": Case(
        408, PUT + b"Content-Length: 9\r\n\r\n{", "did not come within"
    ),
    "not its command": Case(
        409, with_body(b"POST", b"/api/devices/door/commands", HUG), "does not take"
    ),
    "an older version": Case(
        412,
        with_body(b"PUT", b"/api/devices/pillow", b"{}", b'If-Match: "a.1"\r\n'),
        "changed meanwhile",
    ),
    "a large body": Case(413, with_body(b"PUT", b"/api/devices/pillow", b" " * 5_000), "4096"),
    "a long URL": Case(414, get(b"/api/devices?a=" + b"x" * 9_000), "8192"),
    "a body that is a form": Case(
        415,
        with_body(b"PUT", b"/api/devices/pillow", b"a=1", b"Content-Type: text/plain\r\n"),
        "Content-Type",
    ),
    "another server": Case(421, get(b"/api/devices", host=b"evil.test"), "evil.test"),
    "too many open commands": Case(
        429,
        with_body(b"POST", b"/api/devices/pillow/commands", HUG),
        "open commands",
        "retry-after",
    ),
    "many fields": Case(431, get(b"/api/devices", b"X-A: b\r\n" * 200), "100"),
    "our own failure": Case(500, get(b"/api/devices/pillow/history"), "under error"),
    "another coding": Case(
        501, PUT + b"Transfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n", "chunked"
    ),
    "the store is away": Case(
        503, get(b"/api/devices/pillow/viewers"), "Nothing was changed", "retry-after"
    ),
    "another version of HTTP": Case(505, get(b"/api/devices", version=b"2.0"), "HTTP/1.1"),
    "a device too many": Case(507, with_body(b"PUT", b"/api/devices/third", b"{}"), "max_devices"),
}


def broken(*_: object) -> None:
    raise RuntimeError("a bug")


def away(*_: object) -> None:
    raise StoreUnavailable("/secret/path is away")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundServer]:
    """Where two devices are, one of which takes no hug, and the other has had all it may."""
    settings = Settings(
        store="memory:",
        port=0,
        trusted_proxy=("127.0.0.1",),
        body_bytes=4_096,
        body_timeout=0.2,
        max_devices=2,
        max_open_commands=1,
        device_commands={"door": "open", "pillow": "hug"},
    )
    app = create_app(settings)
    runtime = runtime_of(app)
    made = BackgroundServer(runtime, app)
    made.start()
    prepare(app, runtime)
    yield made
    made.stop()


def prepare(app: Flask, runtime: Runtime) -> None:
    client = app.test_client()
    for device in ("pillow", "door"):
        assert client.put(f"/api/devices/{device}", json={"on": True}).status_code == 200
    assert client.post("/api/devices/pillow/commands", json={"name": "hug"}).status_code == 201
    runtime.rights.keys.create("one", Grants.of({"pillow": "read"}), by="test")
    runtime.viewers.who_watches = away  # type: ignore[method-assign,assignment]
    runtime.store.history = broken  # type: ignore[method-assign,assignment]


def test_every_status_has_its_line() -> None:
    assert {case.status for case in CASES.values()} == statuses.TITLES.keys()


@pytest.mark.parametrize("name", CASES)
def test_an_error_is_as_documented(server: BackgroundServer, name: str) -> None:
    case = CASES[name]
    response = fetch(server, case.request)
    assert response.status == case.status, response.data
    assert case.detail in response.detail
    check_shape(response)
    assert not case.header or response.headers[case.header]
    if case.status in statuses.HEADERS:
        documented = {field.lower() for field in statuses.HEADERS[case.status]}
        assert documented <= response.headers.keys()


def check_shape(response: RawResponse) -> None:
    """The schema ``Problem`` of the document, in its own words."""
    problem = json.loads(response.body)
    more = {"id"} if response.status == 500 else set()
    assert problem.keys() == {"type", "title", "status", "detail"} | more
    assert problem["type"] == "about:blank" and problem["title"]
    assert problem["detail"].endswith(".") and "secret" not in problem["detail"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"].endswith("no-store")

"""A refused client is one line in the log: what it asked, what is allowed, and the setting."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from serving import TARGET, UPGRADE, fetch, get

from statecast.flask import create_app
from statecast.http.request_limit import BURST
from statecast.server.server import BackgroundServer
from statecast.settings import Settings

POLLING = TARGET.replace(b"websocket", b"polling")
EVIL = b"Origin: http://evil.example\r\n"
OLD = b"EIO=4", b"EIO=3"

JSON = b"Content-Type: application/json\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
PAGE_RATE = 0.1
CLIENT = b"X-Forwarded-For: 203.0.113.7\r\n"


def sending(path: bytes, more: bytes, method: bytes = b"PATCH", body: bytes = b"{}") -> bytes:
    return get(path, more + b"Content-Length: %d\r\n" % len(body), method) + body


CASES = {
    "origin, WebSocket": (
        b"GET " + TARGET + b" HTTP/1.1\r\nHost: localhost\r\n" + EVIL + UPGRADE + b"\r\n",
        403,
        ["“http://evil.example”", "“localhost”", "allow_origins (https://app.example)"],
    ),
    "origin, polling": (
        get(POLLING, EVIL),
        403,
        ["“http://evil.example”", "“localhost”", "allow_origins (https://app.example)"],
    ),
    "origin, events": (
        get(b"/events?device=*", EVIL),
        403,
        ["“http://evil.example”", "“localhost”", "allow_origins (https://app.example)"],
    ),
    "transport, WebSocket": (
        b"GET /socket.io/?EIO=4&transport=flash HTTP/1.1\r\nHost: localhost\r\n"
        + UPGRADE
        + CLIENT
        + b"\r\n",
        400,
        ["“flash”", "there are polling and websocket"],
    ),
    "transport, polling": (
        get(b"/socket.io/?EIO=4&transport=flash", CLIENT),
        400,
        ["“flash”", "there are polling and websocket"],
    ),
    "host": (
        get(b"/").replace(b"localhost", b"evil.example"),
        421,
        ["evil.example", "allow_hosts"],
    ),
    "protocol, WebSocket": (
        b"GET " + TARGET.replace(*OLD) + b" HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE + b"\r\n",
        400,
        ["Engine.IO 3", "socket.io-client 3 or later"],
    ),
    "protocol, polling": (
        get(POLLING.replace(*OLD)),
        400,
        ["Engine.IO 3", "socket.io-client 3 or later"],
    ),
    "origin, REST": (
        sending(b"/api/devices/pillow", JSON + EVIL),
        403,
        ["PATCH “/api/devices/pillow”", "“http://evil.example”", "“localhost”", "allow_origins"],
    ),
    "origin null, REST": (
        sending(b"/api/devices/pillow", JSON + b"Origin: null\r\n"),
        403,
        ["“null”", "“localhost”"],
    ),
    "origin, deletion": (
        sending(b"/api/devices/pillow", EVIL, b"DELETE", b""),
        403,
        ["DELETE “/api/devices/pillow”", "“http://evil.example”"],
    ),
    "another site without its name, REST": (
        sending(b"/api/messages", JSON + b"Sec-Fetch-Site: cross-site\r\n", b"POST"),
        403,
        ["POST “/api/messages”", "“another site”"],
    ),
    "origin, a form": (
        sending(b"/operator", FORM + EVIL, b"POST"),
        403,
        ["POST “/operator”", "“http://evil.example”"],
    ),
    "metrics, an address": (get(b"/metrics", CLIENT), 403, ["203.0.113.7", "metrics_from"]),
    "size of a URL": (get(b"/" + b"x" * 300), 414, ["256 bytes", "setting url_bytes"]),
    "number of header lines": (
        get(b"/", b"X: 1\r\n" * 20),
        431,
        ["16 header lines", "setting header_count"],
    ),
    "size of a head": (get(b"/", b"X: " + b"x" * 2_000), 431, ["1024 bytes", "header_bytes"]),
    "size of a body": (
        sending(b"/api/devices/pillow", JSON + CLIENT, body=b"x" * 2_000),
        413,
        ["1024 bytes", "setting body_bytes"],
    ),
}


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundServer]:
    settings = Settings(
        store="memory:",
        port=0,
        allow_public=True,
        allow_origins=("https://app.example",),
        trusted_proxy=("127.0.0.1",),
        url_bytes=256,
        header_count=16,
        header_bytes=1024,
        body_bytes=1024,
        page_rate_limit=PAGE_RATE,
        shutdown_timeout=0.5,
    )
    app = create_app(settings)
    running = BackgroundServer(app.extensions["statecast"], app)
    running.start()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def nothing_said_yet(server: BackgroundServer) -> None:
    """The log says the same sentence of one address once a minute, and tests share the server."""
    server.server.hub.throttled_log.__init__()  # type: ignore[misc]


def lines(caplog: pytest.LogCaptureFixture, address: str = "127.0.0.1") -> list[str]:
    return [one.getMessage() for one in caplog.records if address in one.getMessage()]


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_is_one_line(
    server: BackgroundServer, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    # given a client that may not connect
    request, status, words = CASES[name]
    answer = fetch(server, request)

    # then the answer has its status, and the log one line with all that explains it
    assert answer.status == status
    address = "203.0.113.7" if CLIENT in request else "127.0.0.1"
    found = lines(caplog, address)
    assert len(found) == 1, found
    for word in words:
        assert word in found[0]

    # and the answer of the live endpoint says the same, but for what the setting allows
    if name.partition(", ")[2] in ("WebSocket", "polling", "events"):
        for word in words:
            body = json.loads(answer.body)
            said = body["detail"] if name.endswith("events") else body["message"]
            assert word.partition(" (")[0] in said
        assert b"app.example" not in answer.data


def test_a_flood_of_refusals_does_not_flood_the_log(
    server: BackgroundServer, caplog: pytest.LogCaptureFixture
) -> None:
    for name, (request, status, _) in CASES.items():
        caplog.clear()
        for _ in range(13):
            assert fetch(server, request).status == status, name
        assert len(caplog.records) <= 10, name


def test_pages_and_paths_that_are_not_there_have_a_rate(
    server: BackgroundServer, caplog: pytest.LogCaptureFixture
) -> None:
    # given a client that asks for what is not there
    paths = (b"/nowhere", b"/api/nowhere", b"/statecast/nowhere.js", b"/devices/nowhere")
    for number in range(BURST):
        assert fetch(server, get(paths[number % 4], CLIENT)).status == 404

    # when it goes on, then it is refused, and the log names the setting
    for path in paths:
        answer = fetch(server, get(path, CLIENT))
        assert (answer.status, answer.headers.get("retry-after")) == (429, "1"), path
    assert all("setting page_rate_limit" in one for one in lines(caplog, "203.0.113.7"))

    # and others are not
    assert fetch(server, get(paths[0], b"X-Forwarded-For: 203.0.113.8\r\n")).status == 404


@pytest.mark.parametrize(
    ("request_", "status", "sentence"),
    [
        (sending(b"/", b"Accept: text/html\r\n", b"POST", b"x" * 2_000), 413, "1024 bytes"),
        (get(b"/" + b"x" * 300, b"Accept: text/html\r\n"), 414, "256 bytes"),
        (get(b"/metrics", CLIENT + b"Accept: text/html\r\n"), 403, "metrics_from"),
    ],
    ids=["body", "url", "metrics"],
)
def test_a_browser_reads_the_sentence_as_a_page(
    server: BackgroundServer, request_: bytes, status: int, sentence: str
) -> None:
    # a URL that is too long is refused before the header that asks for a page was read
    answer = fetch(server, request_)
    assert answer.status == status
    kind = "application/problem+json" if status == 414 else "text/html; charset=utf-8"
    assert answer.headers["content-type"] == kind
    assert sentence.encode() in answer.body
    assert answer.headers["x-content-type-options"] == "nosniff"

"""Pages of other origins: what they may read and send, with cookies or without, by each way in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from serving import Peer, RawResponse, get, serving
from websockets.sync.client import connect

from statecast.access.credentials import Credentials
from statecast.errors import BadSetting, StoreUnavailable
from statecast.flask import Statecast, create_app, runtime_of
from statecast.http import cors
from statecast.http.credentials import ProxyFields, of_environ, of_head, of_scope
from statecast.http.head import BY_PROXY, LOCAL, RequestHead
from statecast.model import Change
from statecast.server.server import BackgroundServer
from statecast.server.wsgi_environ import build_environ
from statecast.settings import Settings
from waiting import wait_for

APP, ANY = "https://app.example", "*"
PORT = "http://localhost:5173"
NAMED = (APP, PORT)
OPEN = (ANY,)
READ, WRITE = cors.RESPONSE_HEADERS, cors.REQUEST_HEADERS

# An origin, the setting, and the value of Access-Control-Allow-Origin, with or without credentials.
ORIGINS: list[tuple[str | None, tuple[str, ...], str | None, bool]] = [
    (None, (), None, False),
    (APP, (), None, False),
    (None, NAMED, None, False),
    (APP, NAMED, APP, True),
    ("HTTPS://APP.example:443", NAMED, "HTTPS://APP.example:443", True),  # as the browser sent it
    (APP, ("https://app.example/",), APP, True),
    ("http://app.example", NAMED, None, False),
    ("https://app.example:8443", NAMED, None, False),
    ("https://app.example.evil.test", NAMED, None, False),
    ("https://evil-app.example", NAMED, None, False),
    ("https://app.example/x", NAMED, None, False),
    ("https://app.example\r\nX: y", NAMED, None, False),
    ("null", NAMED, None, False),
    ("null", OPEN, None, False),
    ("file://", OPEN, None, False),
    ("", OPEN, None, False),
    ("https://any.test", OPEN, ANY, False),
    (None, OPEN, None, False),
    (APP, (ANY, APP), APP, True),
    ("https://any.test", (APP, ANY), ANY, False),
]


@pytest.mark.parametrize(("origin", "setting", "allowed", "cookies"), ORIGINS)
def test_what_is_answered_to_an_origin(
    origin: str | None, setting: tuple[str, ...], allowed: str | None, cookies: bool
) -> None:
    fields = dict(cors.response_fields(origin, setting))

    assert fields.get("Access-Control-Allow-Origin") == allowed
    assert ("Access-Control-Allow-Credentials" in fields) == cookies
    assert not (cookies and allowed == ANY), "browsers refuse that, and so do we"
    # The answer to a page depends on its origin as soon as one is allowed.
    assert fields.get("Vary") == ("Origin" if setting else None)
    assert cors.is_named(origin, setting) == cookies
    preflight = cors.preflight_fields(origin, setting, ["GET"])
    assert bool(preflight) == (allowed is not None)


# REST


@pytest.fixture
def app() -> Iterator[Flask]:
    made = create_app(Settings(store="memory:", allow_origins=NAMED))
    runtime_of(made).store.edit(Change("pillow", "merge", {"mood": "happy"}))
    yield made
    runtime_of(made).stop()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def etag(client: FlaskClient) -> str:
    return client.get("/api/devices/pillow").headers["ETag"]


JSON = {"Content-Type": "application/json"}
ELSEWHERE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
# By each request, the status for a page of a named origin.
REQUESTS: list[tuple[str, str, dict[str, str], str, int]] = [
    ("GET", "/api/devices", {}, "", 200),
    ("HEAD", "/api/devices", {}, "", 200),
    ("GET", "/api/devices/pillow", {}, "", 200),
    ("GET", "/api/devices/pillow", {"If-None-Match": "ETAG"}, "", 304),
    ("GET", "/api/devices/pillow/history", {}, "", 200),
    ("GET", "/api/devices/pillow/viewers", {}, "", 200),
    ("GET", "/api/devices/pillow/commands", {}, "", 200),
    ("GET", "/api/devices/pillow/commands?after=", {}, "", 200),
    ("GET", "/api/changes", {}, "", 200),
    ("GET", "/api/openapi.json", {}, "", 200),
    ("GET", "/api/commands/none", {}, "", 404),
    ("GET", "/api/devices/none", {}, "", 404),
    ("GET", "/api/nothing", {}, "", 404),
    ("GET", "/api/devices?limit=x", {}, "", 400),
    ("GET", "/api/devices/pillow", {"Authorization": "Bearer forged"}, "", 401),
    ("PUT", "/api/devices/pillow", JSON, '{"a": 1}', 200),
    ("PATCH", "/api/devices/pillow", JSON, '{"a": 1}', 200),
    ("PATCH", "/api/devices/pillow", JSON | {"If-Match": '"x.1"'}, '{"a": 1}', 412),
    ("PATCH", "/api/devices/pillow", JSON, '{"a": NaN}', 400),
    ("PATCH", "/api/devices/pillow", {"Content-Type": "text/plain"}, "{}", 415),
    ("PUT", "/api/devices/pillow", JSON, '{"a": "' + "x" * 2_000_000 + '"}', 413),
    ("POST", "/api/devices/pillow/commands", JSON, '{"name": "hug"}', 201),
    ("POST", "/api/messages", JSON, '{"device": "a", "state": {}}', 202),
    ("POST", "/api/devices", JSON, "{}", 405),
    ("DELETE", "/api/devices/pillow", {}, "", 204),
]


def ask(
    client: FlaskClient, origin: str, method: str, path: str, headers: dict[str, str], body: str
) -> Any:
    tag = etag(client) if headers.get("If-None-Match") else ""
    sent = {name: value.replace("ETAG", tag) for name, value in headers.items()}
    return client.open(
        path, method=method, headers=sent | ELSEWHERE | {"Origin": origin}, data=body
    )


@pytest.mark.parametrize(("method", "path", "headers", "body", "status"), REQUESTS)
def test_a_named_origin_uses_rest_and_reads_its_errors(
    client: FlaskClient, method: str, path: str, headers: dict[str, str], body: str, status: int
) -> None:
    response = ask(client, PORT, method, path, headers, body)

    assert response.status_code == status, response.text
    assert response.headers["Access-Control-Allow-Origin"] == PORT
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert response.headers["Access-Control-Expose-Headers"] == READ
    assert "Origin" in response.headers["Vary"].split(", ")


@pytest.mark.parametrize("origin", ["https://evil.test", "null"])
@pytest.mark.parametrize(("method", "path", "headers", "body", "status"), REQUESTS)
def test_other_origins_read_nothing_and_write_nothing(
    client: FlaskClient,
    origin: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: str,
    status: int,
) -> None:
    before = etag(client)

    response = ask(client, origin, method, path, headers, body)

    assert not [name for name, _ in response.headers if name.startswith("Access-Control")]
    assert "Origin" in response.headers["Vary"].split(", ")
    if method not in ("GET", "HEAD") and status < 300:
        assert response.status_code == 403
    assert etag(client) == before


@pytest.mark.parametrize(("method", "path", "headers", "body", "status"), REQUESTS)
def test_every_origin_reads_and_none_writes(
    method: str, path: str, headers: dict[str, str], body: str, status: int
) -> None:
    app = create_app(Settings(store="memory:", allow_origins=OPEN, public_read=("*",)))
    runtime_of(app).store.edit(Change("pillow", "merge", {"mood": "happy"}))
    client = app.test_client()
    before = etag(client)

    response = ask(client, "https://any.test", method, path, headers, body)

    # it may take no commands either: they would count as handed out
    if "after=" in path:
        assert response.status_code in (401, 403)
    elif method in ("GET", "HEAD"):
        assert response.status_code == status
    else:
        assert response.status_code == 403
    assert response.headers["Access-Control-Allow-Origin"] == ANY
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert etag(client) == before
    runtime_of(app).stop()


# Whose page, in which setting, and whether what its browser adds by itself counts.
PAGES: list[tuple[list[bytes], bool, tuple[str, ...], bool]] = [
    ([], False, (), True),
    ([b"http://a.example"], False, (), True),
    ([b"https://a.example"], True, (), True),
    ([b"http://a.example"], True, (), False),
    ([b"https://a.example:8443"], True, (), False),
    ([b"https://app.example"], True, NAMED, True),
    ([b"https://app.example"], True, (), False),
    ([b"https://app.example"], True, OPEN, False),
    ([b"https://app.example"], True, (ANY, APP), True),
    ([b"null"], False, OPEN, False),
    ([b""], False, OPEN, False),
    ([b"http://a.example", b"http://a.example"], False, (), False),
    ([b"\xff"], False, OPEN, False),
]


@pytest.mark.parametrize(("pages", "secure", "setting", "counts"), PAGES)
@pytest.mark.parametrize("bearer", ["", "a.b.c"])
def test_what_a_browser_adds_counts_for_own_and_named_pages(
    pages: list[bytes], secure: bool, setting: tuple[str, ...], counts: bool, bearer: str
) -> None:
    # given a request of a browser on this machine, with all that it may bring
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "scheme": "https" if secure else "http",
        "headers": [
            (b"host", b"a.example"),
            (b"cookie", b"statecast_session=id.secret"),
            (b"x-user", b"ada"),
            *([(b"authorization", b"Bearer " + bearer.encode())] if bearer else []),
            *[(b"origin", page) for page in pages],
        ],
        "client": ("127.0.0.1", 5),
        "http_version": "1.1",
        "extensions": {LOCAL: True, BY_PROXY: True},
    }
    proxy = ProxyFields("X-User")
    expected = Credentials(
        local=counts,
        bearer=bearer,
        session="id.secret" if counts else "",
        proxy_user="ada" if counts else "",
        address="127.0.0.1",
        foreign=not counts,
    )

    # then each way in finds the same
    assert of_scope(scope, proxy, setting) == expected
    assert of_head(RequestHead.of_scope(scope), "127.0.0.1", proxy, setting) == expected
    assert of_environ(build_environ(scope, b""), proxy, setting) == expected


def test_the_application_has_no_say_for_a_foreign_page() -> None:
    # given an application that knows its users by a cookie of its own, and pages of every site
    app = Flask("host")
    live = Statecast(app, store="memory:", allow_origins=(ANY, APP), trust_local=False)
    live.authorize(lambda request: {"*": "read write"})
    runtime_of(app).store.edit(Change("pillow", "merge", {"mood": "happy"}))
    client = app.test_client()
    path = "/api/devices/pillow"

    for origin, status in ((APP, 200), ("https://any.test", 401), ("http://localhost", 200)):
        assert client.get(path, headers={"Origin": origin}).status_code == status
    runtime_of(app).stop()


def test_nothing_is_said_without_the_setting() -> None:
    app = create_app(Settings(store="memory:"))
    client = app.test_client()
    for origin in (APP, "http://localhost", "null"):
        response = client.get("/api/devices", headers={"Origin": origin})
        assert not [name for name, _ in response.headers if name.startswith("Access-Control")]
        assert "Origin" not in response.headers.get("Vary", "").split(", ")
    runtime_of(app).stop()


def test_the_same_host_over_plain_http_is_another_origin() -> None:
    app = create_app(Settings(store="memory:"))
    client = app.test_client()
    path, body = "/api/devices/pillow", {"mood": "calm"}
    for scheme, status in (("https", 200), ("http", 403)):
        origin = {"Origin": f"{scheme}://localhost:8443"}
        response = client.put(path, base_url="https://localhost:8443", json=body, headers=origin)
        assert response.status_code == status
    runtime_of(app).stop()


def test_an_error_of_the_store_can_be_read(client: FlaskClient, app: Flask) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("The store is away.")

    runtime_of(app).store.get = fails  # type: ignore[method-assign]
    response = client.get("/api/devices/pillow", headers={"Origin": APP})
    assert response.status_code == 503
    assert response.headers["Access-Control-Allow-Origin"] == APP
    assert "Retry-After" in response.headers["Access-Control-Expose-Headers"]


# What a browser asks before it sends

PREFLIGHTS = {
    "/api/devices": "GET, HEAD, OPTIONS",
    "/api/devices/pillow": "GET, PUT, PATCH, DELETE, HEAD, OPTIONS",
    "/api/devices/none/at/all": "GET, PUT, PATCH, DELETE, HEAD, OPTIONS",
    "/api/devices/pillow/history": "GET, HEAD, OPTIONS",
    "/api/devices/pillow/viewers": "GET, HEAD, OPTIONS",
    "/api/devices/pillow/commands": "GET, POST, HEAD, OPTIONS",
    "/api/commands": "GET, HEAD, OPTIONS",
    "/api/commands/1": "GET, HEAD, OPTIONS",
    "/api/changes": "GET, HEAD, OPTIONS",
    "/api/messages": "POST, OPTIONS",
    "/api/openapi.json": "GET, HEAD, OPTIONS",
}


def test_every_route_of_rest_has_its_preflight(app: Flask) -> None:
    rules = {
        str(rule).replace("<path:device>", "pillow").replace("<id_>", "1")
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("statecast_rest.")
    }
    assert rules <= set(PREFLIGHTS)


@pytest.mark.parametrize("path", PREFLIGHTS)
@pytest.mark.parametrize(("origin", "allowed"), [(APP, True), ("https://evil.test", False)])
def test_a_preflight(client: FlaskClient, path: str, origin: str, allowed: bool) -> None:
    response = client.options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization,if-match",
        },
    )

    # It carries no credentials, so it is answered whatever the client may do.
    assert response.status_code == 204 and not response.data
    assert response.headers["Allow"] == PREFLIGHTS[path]
    expected = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": PREFLIGHTS[path],
        "Access-Control-Allow-Headers": WRITE,
        "Access-Control-Max-Age": "600",
    }
    for name, value in expected.items():
        assert response.headers.get(name) == (value if allowed else None)
    assert "Origin" in response.headers["Vary"].split(", ")


def test_a_preflight_of_another_machine_needs_no_rights(client: FlaskClient) -> None:
    response = client.options(
        "/api/devices/pillow",
        headers={"Origin": APP, "Access-Control-Request-Method": "PUT"},
        environ_base={"REMOTE_ADDR": "203.0.113.5"},
    )
    assert response.status_code == 204
    assert "PUT" in response.headers["Access-Control-Allow-Methods"]


def test_scripts_are_loaded_from_flask_and_pages_are_not_read() -> None:
    # Under `flask run`, and in an app that is mounted in another one, Flask has the files
    app = Flask("host")
    Statecast(app, store="memory:", allow_origins=NAMED)
    client = app.test_client()
    readable = {
        "/statecast/bind.js": True,
        "/statecast/statecast.js": True,
        "/statecast/": False,
        "/statecast/operator": False,
        "/statecast/sign-in": False,
    }
    for path, expected in readable.items():
        with client.get(path, headers={"Origin": APP}) as response:
            assert ("Access-Control-Allow-Origin" in response.headers) == expected, path
    runtime_of(app).stop()


def test_an_app_of_the_user_keeps_its_own_addresses() -> None:
    app = Flask("host")
    app.get("/api/mine")(lambda: "mine")
    Statecast(app, store="memory:", allow_origins=NAMED)
    client = app.test_client()

    mine = client.get("/api/mine", headers={"Origin": APP})
    ours = client.get("/api/devices", headers={"Origin": APP})

    assert "Access-Control-Allow-Origin" not in mine.headers
    assert ours.headers["Access-Control-Allow-Origin"] == APP
    runtime_of(app).stop()


# What is answered before Flask


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundServer]:
    with serving(allow_origins=NAMED, body_bytes=1_024) as running:
        yield running


def said(server: BackgroundServer, request: bytes) -> RawResponse:
    with Peer(server) as peer:
        return RawResponse(peer.send(request).read_all())


def from_page(path: bytes, origin: str, method: bytes = b"GET", more: bytes = b"") -> bytes:
    head = get(path, method=method, more=b"Origin: %s\r\n%s" % (origin.encode(), more))
    return head + b"x" * (2_000 if b"2000" in more else 0)


OUTSIDE_FLASK: dict[str, tuple[bytes, bytes, bytes, int]] = {
    "a script": (b"/statecast/bind.js", b"GET", b"", 200),
    "a body that is too long": (b"/api/messages", b"POST", b"Content-Length: 2000\r\n", 413),
    "a misspelt question": (b"/readyz?only=x", b"GET", b"", 400),
    "a wrong query of events": (b"/events?x=1", b"GET", b"", 400),
    "a wrong method of events": (b"/events", b"PUT", b"Content-Length: 0\r\n", 405),
    "a preflight of events": (b"/events", b"OPTIONS", b"", 200),
    "a preflight of polling": (b"/socket.io/?EIO=4&transport=polling", b"OPTIONS", b"", 200),
    "long polling": (b"/socket.io/?EIO=4&transport=polling", b"GET", b"", 200),
}


@pytest.mark.parametrize("case", OUTSIDE_FLASK)
def test_what_flask_does_not_answer(server: BackgroundServer, case: str) -> None:
    path, method, more, status = OUTSIDE_FLASK[case]

    response = said(server, from_page(path, APP, method, more))

    assert response.status == status
    assert response.headers["access-control-allow-origin"] == APP
    assert response.headers["access-control-allow-credentials"] == "true"
    assert response.headers["vary"] == "Origin"  # the last one
    if method == b"OPTIONS":
        assert response.headers["access-control-allow-headers"] == WRITE

    # And nothing of that is for another origin
    foreign = said(server, from_page(path, "https://evil.test", method, more))
    assert "access-control-allow-origin" not in foreign.headers


def test_a_log_line_names_the_setting(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = client.put(
        "/api/devices/pillow", json={"a": 1}, headers=ELSEWHERE | {"Origin": "https://evil.test"}
    )
    assert response.status_code == 403
    assert "allow_origins" in json.loads(response.data)["detail"]
    assert caplog.text.count("https://evil.test") == 1 and "allow_origins" in caplog.text


# What the page of another site gets in a browser on the server's own machine


@pytest.fixture(scope="module")
def open_server() -> Iterator[BackgroundServer]:
    with serving(allow_origins=(ANY, APP), public_read=("lamp",)) as running:
        for device in ("pillow", "lamp"):
            running.runtime.store.edit(Change(device, "merge", {"on": True}))
        # the broadcaster reads in the order of the edits
        wait_for(lambda: shown(running) == {"pillow", "lamp"})
        yield running


def shown(server: BackgroundServer, origin: bytes = b"") -> set[str]:
    """The devices that ``/events`` has now."""
    with Peer(server) as peer:
        found = peer.send(get(b"/events?device=*&once=1", more=origin)).read_all()
    event = json.loads(found.partition(b"data: ")[2].partition(b"\n")[0])
    return {one["device"] for one in event["states"]}


LOCAL_BROWSER: dict[str, tuple[bytes, set[str]]] = {
    "a program": (b"", {"lamp", "pillow"}),
    "a named page": (b"Origin: %s\r\n" % APP.encode(), {"lamp", "pillow"}),
    "another page": (b"Origin: https://any.test\r\n", {"lamp"}),
}


@pytest.mark.parametrize("case", LOCAL_BROWSER)
def test_a_foreign_page_is_not_of_this_machine(open_server: BackgroundServer, case: str) -> None:
    origin, expected = LOCAL_BROWSER[case]
    host = open_server.address.removeprefix("http://").encode()

    # by events
    assert shown(open_server, origin) == expected

    # by WebSocket, about which no browser asks
    page = origin.decode().removeprefix("Origin: ").strip() or None
    url = f"ws://{host.decode()}/socket.io/?EIO=4&transport=websocket"
    with connect(url, origin=page) as viewer:  # type: ignore[arg-type]
        viewer.recv()
        viewer.send("40")
        viewer.recv()
        viewer.send('42["watch",{"devices":["*"]}]')
        said = next(text for text in map(str, viewer) if text.startswith('42["states"'))
    assert {one["device"] for one in json.loads(said[2:])[1]["states"]} == expected


# Frames

FRAMES = {
    "none": ((), "'none'"),
    "one": ((APP,), APP),
    "several": (("self", f"{APP}/", PORT), f"'self' {APP} {PORT}"),
}


@pytest.mark.parametrize("case", FRAMES)
def test_who_may_embed_a_page(case: str) -> None:
    setting, expected = FRAMES[case]
    app = create_app(Settings(store="memory:", frame_ancestors=setting))
    client = app.test_client()
    runtime_of(app).store.edit(Change("pillow", "merge", {"mood": "happy"}))
    framed = {
        "/": expected,
        "/devices/pillow": expected,
        "/devices/none": expected,
        "/operator": "'none'",  # a click there, or a password, is never another page's
        "/statecast/sign-in": "'none'",
    }
    for path, ancestors in framed.items():
        policy = client.get(path).headers["Content-Security-Policy"]
        assert f"; frame-ancestors {ancestors}; " in policy, path
    runtime_of(app).stop()


@pytest.mark.parametrize(
    "wrong",
    ["*", "app.example", "https://app.example/x", "https://a b", "https://a;script-src", "'self'"],
)
def test_what_is_no_place_for_a_frame_is_refused(wrong: str) -> None:
    with pytest.raises(BadSetting, match="frame_ancestors must hold self, or origins"):
        Settings(frame_ancestors=(APP, wrong))

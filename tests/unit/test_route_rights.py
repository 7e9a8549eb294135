"""Every route, asked by this machine and by another one: what is answered and what is refused.

The table names each route of REST, of the pages and of the event loop. A new route that it does
not name fails a test, so every route has a decision.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from flask import Flask

from statecast.flask import Statecast, create_app, runtime_of
from statecast.server.server import BackgroundServer
from statecast.settings import Settings

DEVICE = "/api/devices/<path:device>"
# By method and path, as the app's map of routes writes it: the action that it needs. Reading is
# open to all who reach the server.
ROUTES = {
    "GET /api/devices": "read",
    f"GET {DEVICE}": "read",
    f"PUT {DEVICE}": "write",
    f"PATCH {DEVICE}": "write",
    f"DELETE {DEVICE}": "write",
    f"GET {DEVICE}/history": "read",
    f"GET {DEVICE}/viewers": "read",
    f"GET {DEVICE}/commands": "read",
    f"GET {DEVICE}/commands?after=": "send",  # taking commands is acting as the device
    f"GET {DEVICE}/commands?wait=0.01&after=": "send",
    f"HEAD {DEVICE}/commands?after=": "send",
    f"POST {DEVICE}/commands": "command",
    "GET /api/commands": "read",
    "GET /api/commands/<id_>": "read",
    "GET /api/changes": "read",
    "GET /api/openapi.json": "read",
    "POST /api/messages": "send",
    "GET /": "read",
    "GET /devices/<path:name>": "read",
    "GET /pictures": "read",
    "GET /operator": "operate",
    "POST /operator": "operate",
    "GET /statecast/<path:filename>": "read",
    "GET /statecast/live-address.js": "read",
    "GET /statecast/sign-in": "read",
    "POST /statecast/sign-in": "read",
    "POST /statecast/sign-out": "read",
    "GET /statecast/share": "read",
    "POST /statecast/share": "read",
    # on the event loop
    "GET /socket.io/": "read",
    "POST /socket.io/": "read",
    "GET /events": "read",
    "GET /healthz": "read",
    "GET /readyz": "read",
    "GET /metrics": "operate",
}
BODIES = {
    f"PUT {DEVICE}": {"mood": "calm"},
    f"PATCH {DEVICE}": {"mood": "calm"},
    f"POST {DEVICE}/commands": {"name": "hug"},
    "POST /api/messages": {"device": "pillow", "state": {"mood": "happy"}},
}
OTHER = {"X-Forwarded-For": "192.0.2.7"}
"""Of a request that a trusted proxy passes on for another machine."""
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


class Reply(NamedTuple):
    status: int
    kind: str
    text: str


class Site:
    def __init__(self, others_may: str) -> None:
        settings = Settings(
            store="memory:",
            port=0,
            allow_public=True,
            trusted_proxy=("127.0.0.1",),
            others_may=others_may,  # type: ignore[arg-type]
        )
        self.app = create_app(settings)
        self.others_may = {"read", *others_may.split(",")}
        self.server = BackgroundServer(runtime_of(self.app), self.app)
        self.server.start()
        self.port = urlsplit(self.server.address).port

    def ask(self, route: str, headers: dict[str, str]) -> Reply:
        """The beginning of the response; a stream of events does not end."""
        method, _, path = route.partition(" ")
        for name, value in {"<path:device>": "pillow", "<path:name>": "pillow"}.items():
            path = path.replace(name, value)
        path = path.replace("<path:filename>", "page.css").replace("<id_>", "A1")
        body = json.dumps(BODIES[route]) if route in BODIES else None
        own = {"Content-Type": "application/json"} if body else {}
        if route == "POST /operator":
            own["Origin"] = f"http://127.0.0.1:{self.port}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers=own | headers)
            response = connection.getresponse()
            kind = response.headers.get_content_type()
            streams = kind == "text/event-stream" and response.status == 200
            return Reply(response.status, kind, "" if streams else response.read().decode())
        finally:
            connection.close()


@pytest.fixture(scope="module", params=["command", "", "command,send,write,operate"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    made = Site(request.param)
    made.ask("POST /api/messages", {})
    yield made
    made.server.stop()


def own_routes(app: Flask) -> set[str]:
    """Every method and path that answers, besides those that refuse methods."""
    found = set()
    for rule in app.url_map.iter_rules():
        if rule.websocket or ".other_" in rule.endpoint:
            continue
        found |= {f"{method} {rule.rule}" for method in (rule.methods or set()) & METHODS}
    return found


def test_every_route_has_its_line(site: Site) -> None:
    router = site.server.server.router
    on_loop = {f"{method} {path}" for path in router._apps for method in ("GET", "POST")}
    named = {route.partition("?")[0] for route in ROUTES if not route.startswith("HEAD")}
    assert own_routes(site.app) - on_loop == {route for route in named if route not in on_loop}
    assert router._apps.keys() <= {route.partition(" ")[2] for route in named}


@pytest.mark.parametrize("route", ROUTES)
def test_another_machine_may_do_what_the_setting_names(site: Site, route: str) -> None:
    reply = site.ask(route, OTHER)
    if ROUTES[route] in site.others_may:
        assert reply.status != 403, reply.text
        return
    assert reply.status == 403
    if not route.startswith("HEAD") and route != "GET /metrics":
        assert "Only the server's own machine may" in reply.text.replace("&#39;", "'")
        assert "--others-may" in reply.text


@pytest.mark.parametrize("route", ROUTES)
def test_this_machine_may_do_everything(site: Site, route: str) -> None:
    assert site.ask(route, {}).status != 403
    assert site.ask(route, {"X-Forwarded-For": "127.0.0.1"}).status != 403


def test_routes_of_the_user_are_not_asked_about() -> None:
    # given an app of a user, whose own view changes a state
    app = Flask("host")
    live = Statecast(app, store="memory:", allow_public=True)

    @app.post("/hug")
    def hug() -> str:
        live.set("pillow", hugged=True)
        return "hugged"

    client = app.test_client()
    other = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.7"}}
    # when another machine uses it, and our REST beside it
    own = client.post("/hug", **other)  # type: ignore[arg-type]
    ours = client.put("/api/devices/pillow", json={"hugged": False}, **other)  # type: ignore[arg-type]
    # then the view is the user's own affair, and ours is refused
    assert (own.status_code, ours.status_code) == (200, 403)
    assert live.get("pillow") == {"hugged": True}
    # and below /statecast all pages have their line, too
    named = {
        route.partition("?")[0].replace(" /operator", " /statecast/operator")
        for route in ROUTES
        if route.startswith(("GET", "POST", "PUT", "PATCH", "DELETE"))
    }
    below = {f"GET /statecast{path}" for path in ("/", "/devices/<path:name>", "/pictures")}
    assert own_routes(app) - {"POST /hug", "GET /static/<path:filename>"} <= named | below
    runtime_of(app).stop()

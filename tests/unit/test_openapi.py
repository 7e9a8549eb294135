"""The OpenAPI document: every route has its description, and no description is without a route.

Whether the server answers as it says is tried by tests/system/test_api_fuzz.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast, get_args

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from statecast.commands import life
from statecast.commands.request import LONGEST, LONGEST_WAIT, MAX_KEY
from statecast.decoders import plain
from statecast.flask import Statecast, create_app, runtime_of
from statecast.http import cors
from statecast.openapi import statuses
from statecast.openapi.document import PATH_PARAMETERS, PROBLEM, document, errors_of, name_of
from statecast.server import loop_operations
from statecast.server.router import Router
from statecast.settings import Settings
from statecast.web import api, rest_operations, rest_requests, route_actions
from statecast.web.openapi_view import document_of
from statecast.web.rest_schemas import COMMAND_STATUSES, SCHEMAS

SETTINGS = Settings(store="memory:")
ON_LOOP = ["/events", "/healthz", "/metrics", "/readyz", "/socket.io/"]


@pytest.fixture
def app() -> Iterator[Flask]:
    made = create_app(SETTINGS)
    yield made
    runtime_of(made).stop()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def whole_document(app: Flask) -> dict[str, Any]:
    """With the routes of the loop, as in a process that serves."""
    runtime = runtime_of(app)
    runtime.loop_routes = lambda: loop_operations.described_routes(ON_LOOP)
    return document_of(app, runtime)


def operations(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in found["paths"].items():
        for method, one in methods.items():
            yield f"{method.upper()} {path}", one


# Every route is described


def test_every_route_of_rest_has_its_description(app: Flask) -> None:
    own = {
        rule.endpoint.removeprefix("statecast_rest.")
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("statecast_rest.")
        and not rule.endpoint.startswith(f"statecast_rest.{route_actions.OTHER_METHOD}")
    }
    assert own == rest_operations.OPERATIONS.keys()
    assert own == route_actions.ACTIONS["statecast_rest"].keys()


def test_every_route_of_the_loop_has_its_description_or_a_reason() -> None:
    router = Router(cast(Any, None), cast(Any, None), cast(Any, None), cast(Any, 1), cast(Any, 1))
    described, reasons = loop_operations.OPERATIONS, loop_operations.NOT_DESCRIBED
    assert set(router.paths) == described.keys() | reasons.keys() == set(ON_LOOP)
    assert not described.keys() & reasons.keys() and all(reasons.values())


def test_a_route_without_a_description_is_an_error(app: Flask) -> None:
    # given a route that somebody adds to REST and does not describe
    other = Flask("host")
    blueprint = api.rest(runtime_of(app))
    blueprint.add_url_rule("/secret", "secret", lambda: "")
    other.register_blueprint(blueprint, url_prefix="/api")
    # when the document is made, then it fails, as does a path of the loop that nobody knows
    with pytest.raises(KeyError, match="secret"):
        list(rest_operations.described_routes(other))
    with pytest.raises(KeyError, match="/other"):
        loop_operations.described_routes(["/other"])


def test_an_app_of_the_user_has_our_routes_and_no_others() -> None:
    app = Flask("host")
    app.get("/api/mine")(lambda: "mine")
    Statecast(app, store="memory:")
    found = app.test_client().get("/api/openapi.json").get_json()
    assert "/api/devices/{device}" in found["paths"] and "/api/mine" not in found["paths"]
    # a process that only answers pages has no routes of the loop
    assert not found["paths"].keys() & set(ON_LOOP)


# What is served


def test_the_document_is_served_with_an_etag(client: FlaskClient) -> None:
    read = client.get("/api/openapi.json")
    assert (read.status_code, read.content_type) == (200, "application/json")
    assert read.get_json()["openapi"].startswith("3.1.")
    assert "servers" not in read.get_json()
    again = client.get("/api/openapi.json", headers={"If-None-Match": read.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    refused = client.get("/api/openapi.json?pretty=1")
    assert (refused.status_code, refused.content_type) == (400, PROBLEM)
    assert client.post("/api/openapi.json").status_code == 405


def test_the_document_names_the_path_below_which_it_is_served(app: Flask) -> None:
    mounted = Client(DispatcherMiddleware(Flask("outer"), {"/cloud": app}))
    found = mounted.get("/cloud/api/openapi.json").get_json()
    assert found["servers"] == [{"url": "/cloud"}]


def test_a_page_of_a_named_origin_may_read_the_document() -> None:
    app = create_app(Settings(store="memory:", allow_origins=("https://app.test",)))
    for origin, allowed in (("https://app.test", "https://app.test"), ("https://evil.test", None)):
        read = app.test_client().get("/api/openapi.json", headers={"Origin": origin})
        assert read.headers.get("Access-Control-Allow-Origin") == allowed, origin
    runtime_of(app).stop()


def test_limits_of_the_settings_are_in_the_sentences() -> None:
    small = document([], {}, Settings(store="memory:", body_bytes=2_048))
    assert small["components"]["responses"] == {}
    assert "2,048 bytes" in statuses.sentence(413, Settings(store="memory:", body_bytes=2_048))


# What it says


def test_all_references_lead_somewhere(app: Flask) -> None:
    found = whole_document(app)
    references = set(re.findall(r"'\$ref': '#/components/(\w+/\w+)'", str(found)))
    defined = {
        f"{kind}/{name}" for kind in found["components"] for name in found["components"][kind]
    }
    assert references <= defined
    unused = {one for one in defined if not one.startswith("securitySchemes/")} - references
    assert not unused, "nothing refers to these"


def test_operations_have_names_of_their_own_and_texts(app: Flask) -> None:
    found = dict(operations(whole_document(app)))
    names = [one["operationId"] for one in found.values()]
    assert len(names) == len(set(names)) == len(found)
    for route, one in found.items():
        assert one["summary"] and not one["summary"].endswith("."), route
        assert not one.get("description") or one["description"].endswith("."), route
        variables = re.findall(r"\{(\w+)\}", route)
        assert variables == [p["name"] for p in one.get("parameters", ()) if p["in"] == "path"]
        assert all(p["description"].endswith(".") for p in one.get("parameters", ())), route


def test_each_operation_says_what_it_needs(app: Flask) -> None:
    needs = {
        route: {role for scheme in one["security"] for roles in scheme.values() for role in roles}
        for route, one in operations(whole_document(app))
    }
    assert needs["GET /api/devices"] == {"read"}
    assert needs["POST /api/devices/{device}/commands"] == {"command"}
    assert needs["POST /api/messages"] == {"send"}
    assert needs["PUT /api/devices/{device}"] == {"write"}
    assert needs["GET /metrics"] == {"operate"}
    assert needs["GET /healthz"] == set()


@pytest.mark.parametrize("status", sorted({status for _, status in api.STATUS} | {405, 415, 500}))
def test_every_status_of_our_errors_has_its_words(status: int) -> None:
    assert statuses.TITLES[status] and statuses.SENTENCES[status].endswith(".")
    documented = {s for one in rest_operations.OPERATIONS.values() for s in errors_of(one)}
    assert status in documented


def test_every_documented_status_has_its_words(app: Flask) -> None:
    assert statuses.TITLES.keys() == statuses.SENTENCES.keys()
    for route, one in operations(whole_document(app)):
        assert {"401", "403"} <= one["responses"].keys(), route
        for status in one["responses"]:
            assert int(status) < 400 or int(status) in statuses.TITLES, route
    assert len({name_of(status) for status in statuses.TITLES}) == len(statuses.TITLES)


def test_bounds_come_from_the_code_that_checks_them(app: Flask) -> None:
    found = dict(operations(whole_document(app)))

    def bound(route: str, name: str) -> Any:
        (one,) = (p["schema"] for p in found[route]["parameters"] if p["name"] == name)
        return one

    assert bound("GET /api/devices/{device}/commands", "wait")["maximum"] == LONGEST_WAIT
    key = bound("POST /api/devices/{device}/commands", "Idempotency-Key")
    assert key["maxLength"] == MAX_KEY
    new = cast(dict[str, Any], SCHEMAS["NewCommand"])["properties"]
    assert new["expires"]["anyOf"][0]["maximum"] == LONGEST
    assert set(COMMAND_STATUSES) == set(get_args(life.Status))
    message = cast(dict[str, Any], SCHEMAS["Message"])["properties"]
    assert message.keys() == plain.KNOWN | {plain.IGNORED}
    for route, one in found.items():
        for kind in one.get("requestBody", {}).get("content", {}):
            assert kind in rest_requests.JSON_TYPES, route
    assert PATH_PARAMETERS["device"][1]["maxLength"] == 128


def test_a_page_of_another_origin_may_send_and_read_what_is_documented(app: Flask) -> None:
    # given the fields that the document names
    found = whole_document(app)
    routes = dict(operations(found)).values()
    sent = {p["name"] for one in routes for p in one.get("parameters", ()) if p["in"] == "header"}
    answers = [
        response
        for one in (*routes, {"responses": found["components"]["responses"]})
        for response in one["responses"].values()
    ]
    read = {name for response in answers for name in response.get("headers", {})}
    # then browsers let pages of named origins use each of them
    assert sent <= set(cors.REQUEST_HEADERS.split(", "))
    assert read <= set(cors.RESPONSE_HEADERS.split(", "))
    assert {"Authorization", "Content-Type"} <= set(cors.REQUEST_HEADERS.split(", "))


@pytest.mark.parametrize(
    "query",
    [
        "before=0",
        "before=-1",
        "before=1.5",
        "before=",
        "before=x",
        f"before={2**53 + 1}",
        f"before={10**16}",
        "before=" + "9" * 5_000,
        "before=%C2%B2",
    ],
)
def test_a_whole_number_out_of_bounds_is_refused(client: FlaskClient, query: str) -> None:
    assert client.get(f"/api/commands?{query}").status_code == 400


@pytest.mark.parametrize(
    "query", ["before=1", f"before={2**53}", "before=0007", "before=" + "0" * 5_000 + "7"]
)
def test_a_whole_number_within_bounds_is_taken(client: FlaskClient, query: str) -> None:
    assert client.get(f"/api/commands?{query}").status_code == 200

"""REST: every answer with its status, and no way in that ends in a traceback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from statecast import names
from statecast.access.grants import Grants
from statecast.broadcast.watch_counts import WatchCounts
from statecast.errors import StoreUnavailable, StoreUnusable
from statecast.flask import Statecast, create_app, runtime_of
from statecast.runtime import Runtime
from statecast.settings import Settings
from statecast.stores.totals import Totals
from statecast.web import api

JSON = "application/json"
PROBLEM = "application/problem+json"


@pytest.fixture
def app() -> Flask:
    return create_app(Settings(store="memory:"))


@pytest.fixture
def live(app: Flask) -> Iterator[Runtime]:
    yield runtime_of(app)
    runtime_of(app).stop()


@pytest.fixture
def client(app: Flask, live: Runtime) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def guest(live: Runtime) -> FlaskClient:
    """REST in a user's app, with an address of the user's below /api."""
    app = Flask("host")
    app.get("/api/mine")(lambda: "mine")
    Statecast(app, store="memory:")
    return app.test_client()


def change(client: FlaskClient, method: str, path: str, state: Any, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.open(
        path, method=method, data=json.dumps(state), content_type=JSON, headers=named
    )


def put(client: FlaskClient, device: str, state: Any, **headers: str) -> TestResponse:
    return change(client, "PUT", f"/api/devices/{device}", state, **headers)


def is_problem(response: TestResponse, status: int) -> bool:
    said = response.get_json(force=True)
    assert response.status_code == status, response.text
    assert response.content_type == PROBLEM
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert said["status"] == status and said["title"] and said["detail"].endswith(".")
    assert "Traceback" not in response.text
    return True


# Reading and writing a device


def test_a_device_is_put_read_changed_and_removed(client: FlaskClient) -> None:
    # when a state is put
    made = put(client, "floor2/pillow", {"mood": "happy", "battery": 80})
    assert (made.status_code, made.get_json()["state"]) == (200, {"mood": "happy", "battery": 80})

    # then it is read, with its version and who made it
    read = client.get("/api/devices/floor2/pillow")
    assert read.status_code == 200 and read.content_type == JSON
    said = read.get_json()
    assert (said["device"], said["version"], said["state"]["mood"]) == ("floor2/pillow", 1, "happy")
    assert said["cause"]["source"] == "api" and said["cause"]["by"] == "user"
    assert said["seen_at"] is None, "a user's edit is no sign of life"

    # when a field is patched and another removed, then the rest stays
    merged = change(
        client, "PATCH", "/api/devices/floor2/pillow", {"mood": "calm", "battery": None}
    )
    assert (merged.status_code, merged.get_json()["state"]) == (200, {"mood": "calm"})

    # when it is removed, then it is gone, and stays known to those who ask for changes
    removed = client.delete("/api/devices/floor2/pillow")
    assert removed.status_code == 204
    epoch, offset = removed.headers["ETag"].strip('"').rsplit(".", 1)
    assert epoch == merged.headers["ETag"].strip('"').rsplit(".", 1)[0]
    assert int(offset) == client.get("/api/changes").get_json()["offset"]
    assert is_problem(client.get("/api/devices/floor2/pillow"), 404)
    assert is_problem(client.delete("/api/devices/floor2/pillow"), 404)
    assert client.get("/api/devices").get_json()["devices"] == []
    assert client.get("/api/changes").get_json()["states"][0]["state"] is None


def test_all_devices_come_by_name_with_the_place(client: FlaskClient) -> None:
    for name in ("pillow", "a/b", "tank"):
        put(client, name, {"on": True})
    said = client.get("/api/devices").get_json()
    assert [one["device"] for one in said["devices"]] == ["a/b", "pillow", "tank"]
    assert said["offset"] == 3 and said["epoch"]


def test_devices_come_in_pages(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pillow", "a/b", "tank", "a", "zebra"):
        put(client, name, {"on": True})
    # when a reader follows the links
    pages, address = [], "/api/devices?limit=2"
    while address:
        response = client.get(address)
        pages.append(response.get_json())
        links = response.headers.get("Link", "")
        address = links.removeprefix("<").removesuffix('>; rel="next"')
    # then it gets each device once, by name, and each page says where it is complete
    assert [[one["device"] for one in page["devices"]] for page in pages] == [
        ["a", "a/b"],
        ["pillow", "tank"],
        ["zebra"],
    ]
    assert [page["next"] for page in pages] == ["a/b", "tank", None]
    assert {page["offset"] for page in pages} == {5}
    # and a page of a site below a path links to that site
    below = client.get("/api/devices?limit=2", environ_overrides={"SCRIPT_NAME": "/cloud"})
    assert below.headers["Link"] == '</cloud/api/devices?limit=2&after=a%2Fb>; rel="next"'
    # and without arguments, what does not fit into one page is not lost in silence
    assert client.get("/api/devices").get_json()["next"] is None
    monkeypatch.setattr(api, "DEVICES", 3)
    assert client.get("/api/devices").get_json()["next"] == "pillow"
    monkeypatch.setattr(api, "MAX_DEVICES", 2)
    assert len(client.get("/api/devices?limit=1000").get_json()["devices"]) == 2


@pytest.mark.parametrize(
    ("table", "readable"),
    [
        ({"*": "read"}, ["a", "b/1", "b/2", "b0", "c", "d/x", "e"]),
        ({"b/*": "read"}, ["b/1", "b/2"]),
        ({"d/*": "read", "c": "read write", "a": "send"}, ["c", "d/x"]),
        ({"missing": "read"}, []),
    ],
)
def test_pages_name_only_what_may_be_read(
    client: FlaskClient, live: Runtime, table: dict[str, str], readable: list[str]
) -> None:
    # given devices, of which a key may read some
    for name in ("e", "d/x", "c", "b0", "b/2", "b/1", "a"):
        put(client, name, {"on": True})
    key = live.rights.keys.create("guest", Grants.of(table), by="test")
    # when it reads page by page, of any size
    for size in (1, 2, 3, 10):
        address, found = f"/api/devices?limit={size}", []
        while address:
            response = client.get(address, headers={"Authorization": f"Bearer {key}"})
            page = response.get_json()
            found += [one["device"] for one in page["devices"]]
            # then the place of the following page names nothing else
            assert page["next"] is None or page["next"] in readable
            links = response.headers.get("Link", "")
            assert bool(links) == (page["next"] is not None)
            address = links.removeprefix("<").removesuffix('>; rel="next"')
        # and all pages together have each device once
        assert found == readable, size


def test_what_changes_between_two_pages_comes_with_the_changes(client: FlaskClient) -> None:
    # given a reader with the first page
    for name in ("b", "c", "d"):
        put(client, name, {"n": 1})
    first = client.get("/api/devices?limit=2").get_json()
    # when a device before its place is made, one is changed, and one after it is removed
    put(client, "a", {"n": 2})
    put(client, "b", {"n": 2})
    client.delete("/api/devices/d")
    rest = client.get(f"/api/devices?after={first['next']}").get_json()
    assert rest["devices"] == []
    # then with the changes since the first page it has what the store has
    since = f"{first['epoch']}.{first['offset']}"
    changes = client.get(f"/api/changes?since={since}").get_json()
    found = {one["device"]: one["state"] for one in (*first["devices"], *changes["states"])}
    assert found == {"a": {"n": 2}, "b": {"n": 2}, "c": {"n": 1}, "d": None}


@pytest.mark.parametrize("query", ["after=a%20b", "after=/", "limit=0", "limit=x", "before=a"])
def test_what_is_no_page_of_devices_is_refused(client: FlaskClient, query: str) -> None:
    assert is_problem(client.get(f"/api/devices?{query}"), 400)


def test_head_has_no_body_and_options_tells_the_methods(client: FlaskClient) -> None:
    put(client, "pillow", {"on": True})
    assert client.head("/api/devices/pillow").data == b""
    allowed = client.options("/api/devices/pillow")
    assert allowed.status_code == 204 and "Content-Type" not in allowed.headers
    assert set(allowed.headers["Allow"].split(", ")) == {
        "GET",
        "HEAD",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
    }
    assert set(client.options("/api/messages").headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


@pytest.mark.parametrize(
    ("ending", "taken"),
    [("history", {"GET"}), ("viewers", {"GET"}), ("commands", {"GET", "POST"})],
)
def test_what_lies_below_a_device_tells_its_own_methods(
    client: FlaskClient, ending: str, taken: set[str]
) -> None:
    put(client, "pillow", {"on": True})
    address = f"/api/devices/pillow/{ending}"
    methods = taken | {"HEAD", "OPTIONS"}
    told = client.options(address)
    assert (told.status_code, set(told.headers["Allow"].split(", "))) == (204, methods)
    for method in {"POST", "PUT", "PATCH", "DELETE", "TRACE"} - taken:
        refused = client.open(address, method=method)
        assert is_problem(refused, 405), method
        assert set(refused.headers["Allow"].split(", ")) == methods, method
    assert [one["device"] for one in client.get("/api/devices").get_json()["devices"]] == ["pillow"]


# ETags


def test_an_etag_saves_the_body_until_the_device_changes(client: FlaskClient) -> None:
    tag = put(client, "pillow", {"mood": "happy"}).headers["ETag"]
    assert client.get("/api/devices/pillow").headers["ETag"] == tag
    for given in (tag, f'"other", {tag}', "*", f"W/{tag}"):
        unchanged = client.get("/api/devices/pillow", headers={"If-None-Match": given})
        assert (unchanged.status_code, unchanged.data) == (304, b""), given
    put(client, "pillow", {"mood": "sad"})
    changed = client.get("/api/devices/pillow", headers={"If-None-Match": tag})
    assert changed.status_code == 200 and changed.headers["ETag"] != tag


def test_an_etag_is_stable_over_a_restart(tmp_path: Path) -> None:
    settings = Settings(store=f"sqlite:///{tmp_path}/states.db")
    tags = []
    for mood in ("happy", None):
        app = create_app(settings)
        if mood:
            put(app.test_client(), "pillow", {"mood": mood})
        tags.append(app.test_client().get("/api/devices/pillow").headers["ETag"])
        other = put(app.test_client(), "other", {"mood": mood or "new epoch"})
        assert other.status_code == 200
        runtime_of(app).stop()
    app = create_app(settings)
    with_tag = put(app.test_client(), "pillow", {"mood": "sad"}, If_Match=tags[0])
    runtime_of(app).stop()
    assert tags[0] == tags[1]
    assert with_tag.status_code == 200


def test_if_match_protects_what_somebody_else_changed(client: FlaskClient) -> None:
    old = put(client, "pillow", {"mood": "happy"}).headers["ETag"]
    new = put(client, "pillow", {"mood": "sad"}).headers["ETag"]
    position, _, offset = new.strip('"').rpartition(".")
    wrong = (old, '"nonsense"', '""', '"."', f'"{position}."', f'"{position}.x"',
        f'"{position}.{"9" * 30}"',
             f'"foreign.{offset}"', f"W/{new}", "garbage")  # fmt: skip
    for method in ("PUT", "PATCH", "DELETE"):
        for given in wrong:
            assert is_problem(
                change(client, method, "/api/devices/pillow", {"mood": "lost"}, If_Match=given), 412
            ), given
    assert client.get("/api/devices/pillow").get_json()["state"] == {"mood": "sad"}
    for given in (new, "*"):
        assert put(client, "pillow", {"mood": "sad"}, If_Match=given).status_code == 200
    several = put(client, "pillow", {"mood": "calm"}, If_Match=f"{old}, {new}")
    assert several.status_code == 200
    assert (
        change(
            client, "DELETE", "/api/devices/pillow", None, If_Match=several.headers["ETag"]
        ).status_code
        == 204
    )


@pytest.mark.parametrize("given", ["*", '"epoch.1"'])
def test_if_match_on_nothing_matches_nothing(client: FlaskClient, given: str) -> None:
    assert is_problem(put(client, "pillow", {"mood": "happy"}, If_Match=given), 412)


def test_a_condition_that_would_be_ignored_is_refused(client: FlaskClient) -> None:
    assert is_problem(put(client, "pillow", {"mood": "happy"}, If_None_Match="*"), 400)
    assert is_problem(client.get("/api/devices/pillow"), 404)


# History and changes


def test_history_comes_in_pages_newest_first(client: FlaskClient) -> None:
    for battery in range(1, 8):
        put(client, "pillow", {"battery": battery})
    versions, query = [], ""
    while True:
        said = client.get(f"/api/devices/pillow/history?limit=3{query}").get_json()
        assert said["total"] == 7 and said["device"] == "pillow" and said["since"].endswith("Z")
        versions += [version for _, version, _, _, _ in said["history"]]
        if said["next"] is None:
            break
        query = f"&before={said['next']}"
    assert versions == [7, 6, 5, 4, 3, 2, 1]
    assert is_problem(client.get("/api/devices/nobody/history"), 404)


def test_viewers_of_a_device(
    client: FlaskClient, live: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, "pillow", {"mood": "happy"})
    # given what a serving process has written, and a script or another server that asks
    live.store.announce("p", {})
    counts = WatchCounts()
    counts.add("pillow", 2)
    counts.add("*", 1, "Ada")
    live.store.count_watching(
        "p", {number: part.encode()[0] for number, part in counts.parts.items()}
    )
    # when it asks, then it gets the sum
    response = client.get("/api/devices/pillow/viewers")
    assert response.get_json() == {"device": "pillow", "count": 3, "names": ["Ada"]}
    assert client.get("/api/devices/pillow/viewers?x").status_code == 400
    assert client.post("/api/devices/pillow/viewers", json={}).status_code == 405
    assert is_problem(client.get("/api/devices/nobody/viewers"), 404)
    assert is_problem(client.get("/api/devices/a b/viewers"), 400)
    # a device from before such names were reserved may be called viewers
    monkeypatch.setattr(names, "RESERVED_ENDINGS", ())
    put(client, "museum/viewers", {"open": True})
    assert client.get("/api/devices/museum/viewers").get_json()["state"] == {"open": True}


def test_an_older_device_may_be_called_history(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "RESERVED_ENDINGS", ())
    put(client, "museum/history", {"open": True})
    assert client.get("/api/devices/museum/history").get_json()["state"] == {"open": True}
    assert client.get("/api/devices/museum/history/history").get_json()["total"] == 1
    assert client.get("/api/devices/history").status_code == 404


def test_changes_since_a_place_come_in_slices_until_complete(client: FlaskClient) -> None:
    # given a reader who has everything
    for number in range(3):
        put(client, f"device{number}", {"value": 0})
    said = client.get("/api/changes").get_json()
    assert said["complete"] and len(said["states"]) == 3 and "reset" not in said
    since = f"{said['epoch']}.{said['offset']}"
    assert client.get(f"/api/changes?since={since}").get_json()["states"] == []

    # when devices change, then it gets those, in the order of their offsets, in slices
    for device in ("device2", "device0", "device1"):
        put(client, device, {"value": 1})
    heard = []
    while True:
        said = client.get(f"/api/changes?since={since}&limit=2").get_json()
        heard += [one["device"] for one in said["states"]]
        since = f"{said['epoch']}.{said['offset']}"
        if said.get("complete"):
            break
    assert heard == ["device2", "device0", "device1"]


@pytest.mark.parametrize(
    "since", ["", "x", "foreign.1", "foreign.0", "epoch", ".5", "a.b", "a." + "9" * 40, "a.-1"]
)
def test_a_place_of_another_history_gets_a_reset_and_everything(
    client: FlaskClient, since: str
) -> None:
    put(client, "pillow", {"mood": "happy"})
    said = client.get("/api/changes", query_string={"since": since}).get_json()
    assert said["reset"] is True and said["complete"] is True and len(said["states"]) == 1


def test_a_place_of_the_future_gets_a_reset(client: FlaskClient) -> None:
    put(client, "pillow", {"mood": "happy"})
    said = client.get("/api/changes").get_json()
    assert (
        client.get(f"/api/changes?since={said['epoch']}.{said['offset'] + 1}").get_json()["reset"]
        is True
    )


# Messages


def test_a_message_waits_in_the_queue_before_the_answer(client: FlaskClient, live: Runtime) -> None:
    response = change(
        client, "POST", "/api/messages", {"device": "pillow", "state": {"mood": "happy"}}
    )
    assert response.status_code == 202
    (waiting,) = live.queue.receive(10, 0)
    assert (waiting.id, json.loads(waiting.body)["device"]) == (response.get_json()["id"], "pillow")


def test_items_of_an_array_are_messages_all_or_none(client: FlaskClient, live: Runtime) -> None:
    good = {"device": "pillow", "state": {"mood": "happy"}}
    refused = change(client, "POST", "/api/messages", [good, {"device": "pillow", "state": 5}])
    assert is_problem(refused, 400) and refused.get_json(force=True)["detail"].startswith(
        "Item 1: "
    )
    assert live.queue.receive(10, 0) == []
    sent = change(client, "POST", "/api/messages", [good, good])
    assert [one.id for one in live.queue.receive(10, 0)] == sent.get_json()["ids"]


def message_of(size: int) -> bytes:
    empty = b'{"device":"pillow","state":{"text":""}}'
    return empty.replace(b'""', b'"' + b"x" * (size - len(empty)) + b'"')


@pytest.mark.parametrize(("size", "status"), [(65_535, 202), (65_536, 202), (65_537, 413)])
def test_a_message_has_64_kib_at_most(client: FlaskClient, size: int, status: int) -> None:
    assert len(message_of(size)) == size
    for body in (message_of(size), b"[" + message_of(size) + b"]"):
        assert client.post("/api/messages", data=body, content_type=JSON).status_code == status


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/jsonl", JSON])
def test_json_lines_are_messages_all_or_none(client: FlaskClient, live: Runtime, kind: str) -> None:
    # given two lines of which one is bad, then nothing is sent
    good, bad = b'{"device":"pillow","state":{}}', b'{"device":"pillow","state":5}'
    refused = client.post("/api/messages", data=good + b"\n" + bad, content_type=kind)
    assert is_problem(refused, 400) and "Item 1: " in refused.get_json(force=True)["detail"]
    assert live.queue.receive(10, 0) == []
    # and two good lines are two messages
    sent = client.post("/api/messages", data=good + b"\n" + good + b"\n", content_type=kind)
    assert sent.status_code == 202 and len(sent.get_json()["ids"]) == 2
    assert [one.body for one in live.queue.receive(10, 0)] == [good, good]


@pytest.mark.parametrize(("items", "status"), [(999, 202), (1_000, 202), (1_001, 413)])
def test_an_array_has_1000_items_at_most(client: FlaskClient, items: int, status: int) -> None:
    body = [{"device": "pillow", "state": {}}] * items
    assert change(client, "POST", "/api/messages", body).status_code == status


@pytest.mark.parametrize(("size", "status"), [(4_095, 200), (4_096, 200), (4_097, 413)])
def test_a_body_has_a_limit(size: int, status: int) -> None:
    app = create_app(Settings(store="memory:", body_bytes=4_096))
    body = b'{"text":"' + b"x" * (size - 11) + b'"}'
    assert len(body) == size
    response = app.test_client().put("/api/devices/pillow", data=body, content_type=JSON)
    assert response.status_code == status
    runtime_of(app).stop()


def test_a_state_has_64_kib_at_most(client: FlaskClient) -> None:
    put(client, "pillow", {"first": "x" * 40_000})
    assert is_problem(change(client, "PATCH", "/api/devices/pillow", {"second": "x" * 40_000}), 413)
    assert set(client.get("/api/devices/pillow").get_json()["state"]) == {"first"}


# What is refused

BAD_JSON = (
    b"", b"{", b"nonsense", b"NaN", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1e999}',
    b'{"a":1,"a":2}', b'{"a":1} x',
    b'{"a":"\\ud800"}', b"\xff\xfe", b'{"a\\u0000":1}',
    b'{"a":9007199254740993}',
    b"[" * 60_000, b'{"a":' * 40 + b"1" + b"}" * 40, b'{"' + b"n" * 257 + b'":1}',
)  # fmt: skip


@pytest.mark.parametrize(
    "body", [*BAD_JSON, b"5", b"null", b"[]", b'"text"'], ids=lambda body: repr(body[:12])
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_state_that_is_none_is_refused(client: FlaskClient, method: str, body: bytes) -> None:
    assert is_problem(
        client.open("/api/devices/pillow", method=method, data=body, content_type=JSON), 400
    )
    assert is_problem(client.get("/api/devices/pillow"), 404)


BAD_MESSAGES = (
    b"5", b"null", b"[]", b"[5]", b"{}", b'{"device":"pillow"}', b'{"device":null,"state":{}}',
    b'{"device":5,"state":{}}', b'{"device":"../x","state":{}}',
    b'{"device":"pillow","state":{},"extra":1}',
    b'{"device":"pillow","state":{},"time":"now"}',
    b'{"device":"pillow","state":{"a":1},"by":"nobody"}',
    b'{"device":"' + b"n" * 129 + b'","state":{}}',
)  # fmt: skip


@pytest.mark.parametrize("body", [*BAD_JSON, *BAD_MESSAGES], ids=lambda body: repr(body[:30]))
def test_a_message_that_would_go_to_quarantine_is_refused(
    client: FlaskClient, live: Runtime, body: bytes
) -> None:
    assert is_problem(client.post("/api/messages", data=body, content_type=JSON), 400)
    assert live.queue.receive(1, 0) == []


@pytest.mark.parametrize(
    "path",
    ["devices/..", "devices/a//b", "devices/a/../b", "devices/a b", "devices/%00",
    "devices/%1b[31m", "devices/ümlaut",
     "devices/" + "n" * 129, "devices/a/", "devices/*", "devices/<script>"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_what_is_no_name_is_refused(client: FlaskClient, method: str, path: str) -> None:
    response = change(client, method, f"/api/{path}", {"a": 1})
    assert is_problem(response, 400)
    assert response.get_json(force=True)["detail"].isprintable()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("devices?page=5", 400), ("devices/pillow?x", 400), ("devices/pillow/history?page=2", 400),
        ("changes?from=1", 400), ("devices/pillow/history?limit=0", 400),
        ("devices/pillow/history?limit=x", 400),
        ("devices/pillow/history?limit=-1", 400), ("devices/pillow/history?before=1.5", 400),
        ("devices/pillow/history?before=%C2%B2", 400), ("changes?limit=99999999999999999999", 400),
        ("devices/pillow/history?before=" + "9" * 5_000, 400), ("devices/pillow/history?limit=1001",
        200),
        ("changes?limit=10001", 200),
    ],
)  # fmt: skip
def test_arguments_are_checked(client: FlaskClient, path: str, status: int) -> None:
    put(client, "pillow", {"mood": "happy"})
    response = client.get(f"/api/{path}")
    assert response.status_code == status and (status == 200 or is_problem(response, status))


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("", "GET", 404), ("/", "GET", 404), ("/nothing", "GET", 404), ("/devices/", "GET", 404),
        ("/messages/1", "GET", 404), ("/devices", "POST", 405), ("/devices", "DELETE", 405),
        ("/devices/pillow", "POST", 405), ("/devices/pillow/history", "POST", 405), ("/messages",
        "GET", 405),
        ("/messages", "PUT", 405), ("/messages", "HEAD", 405), ("/changes", "POST", 405),
        ("/changes", "PATCH", 405),
        ("/devices", "BREW", 405),
    ],
)  # fmt: skip
def test_other_addresses_and_methods(
    client: FlaskClient, path: str, method: str, status: int
) -> None:
    response = client.open(f"/api{path}", method=method, data=b"{}", content_type=JSON)
    assert response.status_code == status
    assert method == "HEAD" or is_problem(response, status)
    assert status != 405 or response.headers["Allow"]


# In a user's app


def test_a_guest_answers_its_own_addresses_and_no_other(guest: FlaskClient) -> None:
    assert guest.get("/api/mine").text == "mine"
    assert guest.post("/api/mine").content_type.startswith("text/html"), "the user's own 405"
    assert guest.get("/api/nothing").content_type.startswith("text/html"), "the user's own 404"
    refused = guest.post("/api/devices", data=b"{}", content_type=JSON)
    assert is_problem(refused, 405) and "POST" in refused.get_json(force=True)["detail"]
    assert is_problem(guest.trace("/api/messages"), 405)
    assert is_problem(guest.get("/api/devices/nobody"), 404)


@pytest.mark.parametrize("content_type", ["application/cloudevents+json; charset=utf-8", JSON])
def test_an_event_is_taken_as_its_senders_send_it(client: FlaskClient, content_type: str) -> None:
    event = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/hub",
        "type": "t",
        "subject": "pillow",
        "data": {"n": 1},
    }
    sent = client.post("/api/messages", data=json.dumps(event), content_type=content_type)
    assert sent.status_code == 202 and sent.get_json(force=True)["id"]
    batch = client.post(
        "/api/messages",
        data=json.dumps([event, event]),
        content_type="application/cloudevents-batch+json",
    )
    assert len(batch.get_json(force=True)["ids"]) == 2
    refused = client.post(
        "/api/messages", data=json.dumps(event | {"data": 5}), content_type=content_type
    )
    assert (
        is_problem(refused, 400)
        and "its data is a number" in refused.get_json(force=True)["detail"]
    )


# Writes on behalf of others


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "json",
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "devices/p"), ("PATCH", "devices/p"), ("POST", "messages")]
)
def test_a_form_cannot_write(
    client: FlaskClient, method: str, path: str, content_type: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = client.open(f"/api/{path}", method=method, data=b"{}", headers=headers)
    assert is_problem(response, 415)
    # and the sentence has what curl, which calls each body a form, needs for it
    assert "curl: -H 'Content-Type: application/json'" in response.json["detail"]
    sent = content_type.partition(";")[0]
    assert (f"“{sent}”" if sent else "no Content-Type") in response.json["detail"]


@pytest.mark.parametrize(
    "content_type", [JSON, "application/json; charset=utf-8", "Application/JSON"]
)
def test_json_is_taken_however_it_is_spelt(client: FlaskClient, content_type: str) -> None:
    assert (
        client.put("/api/devices/pillow", data=b'{"a":1}', content_type=content_type).status_code
        == 200
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, 200),
        ({"Origin": "http://localhost:80"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": ""}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "http://localhost:8001"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_another_sites_page_cannot_write(
    client: FlaskClient, headers: dict[str, str], status: int
) -> None:
    put(client, "pillow", {"mood": "calm"})
    for method in ("PUT", "PATCH", "DELETE"):
        path = "/api/devices/pillow"
        response = client.open(
            path, method=method, data=b'{"mood":"happy"}', content_type=JSON, headers=headers
        )
        assert response.status_code == (204 if status == 200 and method == "DELETE" else status)
    message = b'{"device":"pillow","state":{}}'
    sent = client.post("/api/messages", data=message, content_type=JSON, headers=headers)
    assert sent.status_code == (202 if status == 200 else status)
    # and what it reads, if it can, is what everybody may read: it is not of this machine
    own = {None, "http://localhost", "http://localhost:80"}
    reading = 200 if headers.get("Origin") in own else 401
    assert client.get("/api/devices", headers=headers).status_code == reading


# When machines fail


class Broken:
    """A store whose every method fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        raise self.error


ADDRESSES = [
    ("GET", "devices"), ("GET", "devices/pillow"), ("PUT", "devices/pillow"), ("PATCH",
    "devices/pillow"),
    ("DELETE", "devices/pillow"), ("GET", "devices/pillow/history"), ("GET", "changes"), ("POST",
    "messages"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreUnavailable("The disk is full."), 503),
        (StoreUnusable("Secret path."), 503),
        (StoreUnusable("Secret path.", public="The store was removed."), 503),
        (ZeroDivisionError("secret"), 500),
    ],
)
def test_a_store_that_fails_is_told_without_details(
    client: FlaskClient,
    live: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    error: Exception,
    status: int,
) -> None:
    monkeypatch.setattr(live, "_store", Broken(error))
    monkeypatch.setattr(live, "stop", lambda: None)
    response = change(client, method, f"/api/{path}", {"device": "pillow", "state": {}})
    assert is_problem(response, status)
    assert "ecret" not in response.text
    if status == 503:
        seconds = "30" if isinstance(error, StoreUnusable) else "1"
        assert response.headers["Retry-After"] == seconds
        assert error.public in response.get_json(force=True)["detail"]  # type: ignore[attr-defined]
    else:
        assert response.get_json(force=True)["id"]


def test_a_store_that_is_away_fills_no_log(
    client: FlaskClient,
    live: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(live, "_store", Broken(StoreUnusable("/var/lib/pillow.db was removed.")))
    monkeypatch.setattr(live, "stop", lambda: None)
    for _ in range(50):
        assert is_problem(client.get("/api/devices"), 503)
    lines = [one for one in caplog.records if one.name == "statecast.web.api"]
    assert len(lines) == 10
    assert all("/var/lib/pillow.db" in one.getMessage() and not one.exc_info for one in lines)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "source"),
    [
        ("PUT", "/api/devices/pillow", "[]", 400, "api"),
        ("PATCH", "/api/devices/pillow", '{"n": NaN}', 400, "api"),
        ("PATCH", "/api/devices/pillow", '{"t": "%s"}' % ("x" * 70_000), 413, "api"),
        ("PUT", "/api/devices/a%20b", "{}", 400, "api"),
        ("DELETE", "/api/devices/pillow?when=now", "", 400, "api"),
        ("POST", "/api/messages", "{", 400, "queue"),
        ("POST", "/api/messages", '{"device":"pillow"}', 400, "queue"),
        ("POST", "/api/messages", '[{"device":"pillow","state":{}}, 5]', 400, "queue"),
    ],
)
def test_a_refused_write_is_counted(
    client: FlaskClient,
    live: Runtime,
    method: str,
    path: str,
    body: str,
    status: int,
    source: str,
) -> None:
    assert live.store.totals() == {}
    response = client.open(path, method=method, data=body, content_type=JSON)
    assert is_problem(response, status)
    assert live.store.totals() == {source: Totals(refused=1)}


def test_what_is_no_refusal_is_not_counted(client: FlaskClient, live: Runtime) -> None:
    # a reader's mistake, a device that is not there, a condition that is not met
    client.get("/api/devices/a%20b")
    client.get("/api/devices?colour=red")
    client.delete("/api/devices/pillow")
    change(client, "PUT", "/api/devices/pillow", {"n": 1}, If_Match='"x.1"')
    assert live.store.totals() == {}


def test_a_device_beyond_the_bound_is_refused() -> None:
    app = create_app(Settings(store="memory:", max_devices=1))
    client = app.test_client()
    assert put(client, "pillow", {"n": 1}).status_code == 200
    full = put(client, "chair", {"n": 1})
    assert is_problem(full, 507)
    assert "max_devices" in full.get_json()["detail"]
    assert put(client, "pillow", {"n": 2}).status_code == 200
    assert client.delete("/api/devices/pillow", content_type=JSON).status_code == 204
    assert put(client, "chair", {"n": 1}).status_code == 200
    runtime_of(app).stop()


def test_an_address_that_reads_too_often_is_refused(client: FlaskClient, live: Runtime) -> None:
    live.allows_page = lambda address: False
    for path in ("/api/devices", "/api/devices/pillow", "/api/changes"):
        refused = client.get(path)
        assert is_problem(refused, 429)
        assert refused.headers["Retry-After"] == "1"
    # and writes are not reads
    assert put(client, "pillow", {"n": 1}).status_code == 200
    assert client.post("/api/messages", json={"device": "a", "state": {}}).status_code == 202

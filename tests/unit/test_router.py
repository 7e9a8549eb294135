"""The front: what is answered on the loop, and what goes to Flask."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from typing import Any

import pytest

from statecast.http.asgi import Receive, Scope, Send
from statecast.http.errors import HTTPProblem
from statecast.server.readiness import Readiness
from statecast.server.router import Router
from statecast.server.static_files import static_files


def named(name: bytes) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": name})

    return app


class Client:
    """Asks the front, without a server."""

    def __init__(self, wsgi: Any = None, ready: bool = True, store: str = "connected") -> None:
        readiness = Readiness(lambda: (ready, {"store": store}))
        self.router = Router(
            wsgi or named(b"flask"), named(b"polling"), readiness, named(b"events")
        )

    def ask(
        self, path: str, method: str = "GET", query: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        said: list[Any] = []

        async def receive() -> Any:
            raise AssertionError("nobody reads a body here")

        async def send(message: Any) -> None:
            said.append(message)

        names = [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ]
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": names,
            "query_string": query,
        }
        asyncio.run(self.router(scope, receive, send))
        begin, *bodies = said
        fields = {name.decode(): value.decode() for name, value in begin["headers"]}
        return begin["status"], fields, b"".join(message["body"] for message in bodies)


@pytest.mark.parametrize(
    ("path", "whose"),
    [
        ("/socket.io/", b"polling"),
        ("/events", b"events"),
        ("/", b"flask"),
        ("/socket.io", b"flask"),
        ("/healthz/", b"flask"),
        ("/statecast/", b"flask"),
        ("/statecast/../page.css", b"flask"),
        ("/statecast/base.html", b"flask"),
    ],
)
def test_whose_a_path_is(path: str, whose: bytes) -> None:
    assert Client().ask(path) == (200, {}, whose)


def test_health() -> None:
    status, headers, body = Client().ask("/healthz")
    assert (status, json.loads(body)) == (200, {"status": "alive"})
    assert (headers["content-type"], headers["cache-control"]) == ("application/json", "no-store")
    assert Client(ready=False).ask("/healthz")[0] == 200


def test_readiness() -> None:
    status, _, body = Client().ask("/readyz")
    assert (status, json.loads(body)) == (200, {"status": "ready", "store": "connected"})
    assert Client(ready=False).ask("/readyz")[0] == 503


@pytest.mark.parametrize(
    "ready, store, whole, only_store",
    [
        (True, "connected", 200, 200),
        (False, "connected", 503, 200),  # a queue is away, and the pages say so
        (False, "The disk of the store is full.", 503, 503),
    ],
)
def test_a_load_balancer_asks_only_about_the_store(
    ready: bool, store: str, whole: int, only_store: int
) -> None:
    client = Client(ready=ready, store=store)
    assert client.ask("/readyz")[0] == whole
    assert client.ask("/readyz", query=b"only=store")[0] == only_store
    assert client.ask("/readyz", query=b"x=1")[0] == whole


@pytest.mark.parametrize(
    "query", [b"only=stroe", b"only=", b"only=store&only=x", b"only=%C3%AF", b"only=\xc3\xaf"]
)
def test_a_misspelt_question_of_a_load_balancer_is_refused(query: bytes) -> None:
    status, _, body = Client().ask("/readyz", query=query)
    assert (status, json.loads(body)["detail"]) == (400, "“only” may be “store”, and nothing else.")


def test_a_stopping_server_is_not_ready_and_turns_away() -> None:
    client = Client()
    client.router.draining = True
    status, headers, _ = client.ask("/readyz")
    assert (status, headers["connection"]) == (503, "close"), (
        "who asks over and over must not hold it up"
    )
    assert client.ask("/healthz")[0] == 200
    for path in ("/", "/events", "/socket.io/", "/statecast/page.css"):
        status, headers, _ = client.ask(path)
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")


def test_where_others_serve_a_stopping_process_answers_what_it_has_accepted() -> None:
    client = Client()
    client.router.draining = client.router.others_serve = True
    for path in ("/", "/statecast/page.css"):
        status, headers, _ = client.ask(path)
        assert (status, headers["connection"]) == (200, "close")
    assert client.ask("/readyz")[0] == 503


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/statecast/page.css"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_what_is_only_read(path: str, method: str) -> None:
    status, headers, body = Client().ask(path, method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert json.loads(body)["title"] == "Method Not Allowed"
    assert Client().ask(path, "HEAD")[0] == 200


def test_a_static_file_is_kept_and_asked_about() -> None:
    client = Client()
    status, headers, body = client.ask("/statecast/page.css")
    assert status == 200
    assert body == static_files()["/statecast/page.css"].body
    assert headers["content-type"] == "text/css; charset=utf-8"
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-cache", "nosniff")
    for known in (headers["etag"], f'"other", W/{headers["etag"]}', "*"):
        status, again, body = client.ask("/statecast/page.css", if_none_match=known)
        assert (status, again["etag"], body) == (304, headers["etag"], b"")
    assert client.ask("/statecast/page.css", if_none_match='"other"')[0] == 200


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5, br", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("br", False),
        ("*", False),
        ("", False),
    ],
)
def test_a_static_file_comes_packed_to_who_says_gzip(accepted: str, packed: bool) -> None:
    client = Client()
    plain = client.ask("/statecast/statecast.js")
    status, headers, body = client.ask("/statecast/statecast.js", accept_encoding=accepted)
    assert (status, headers.get("content-encoding")) == (200, "gzip" if packed else None)
    assert (gzip.decompress(body) if packed else body) == plain[2]
    assert headers["content-length"] == str(len(body))
    # two forms of one file are two things to a cache
    assert headers["vary"] == "accept-encoding"
    assert (headers["etag"] != plain[1]["etag"]) is packed
    assert (
        client.ask(
            "/statecast/statecast.js", accept_encoding=accepted, if_none_match=headers["etag"]
        )[0]
        == 304
    )


def test_a_defect_behind_it_is_a_generic_answer(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("secret")

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPProblem(403, "Not yours.")

    with caplog.at_level(logging.ERROR):
        status, headers, body = Client(broken).ask("/")
    assert (status, headers["content-type"]) == (500, "application/problem+json")
    assert b"secret" not in body
    assert caplog.records[0].getMessage().split()[-1] in json.loads(body)["detail"]
    assert json.loads(Client(refusing).ask("/")[2])["detail"] == "Not yours."


def test_an_answer_that_breaks_off_is_not_completed(caplog: pytest.LogCaptureFixture) -> None:
    async def breaking(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("secret")

    assert Client(breaking).ask("/") == (200, {}, b"half")


@pytest.mark.parametrize("sees", [True, False])
def test_what_is_wrong_is_named_only_to_who_may_see_it(sees: bool) -> None:
    # given a server whose sources bear the names of devices
    async def sees_sources(scope: Scope) -> bool:
        return sees

    found = {"store": "connected", "offset": 7, "problems": [{"subject": "source secret/pillow"}]}
    client = Client()
    client.router = Router(
        *(named(b"flask"), named(b"polling"), Readiness(lambda: (False, found))),
        sees_sources=sees_sources,
    )
    # then others are told whether it is ready, and no more
    status, _, body = client.ask("/readyz")
    assert status == 503
    assert (b"secret" in body, b"offset" in body) == (sees, sees)
    assert json.loads(body)["store"] == "connected"

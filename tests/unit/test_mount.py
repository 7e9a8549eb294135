"""Below which path a browser sees the server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from serving import Peer, RawResponse, fetch, get, serving

from statecast.errors import BadSetting
from statecast.http.mount import forwarded_prefix, inner_path, outer_prefix, split_target
from statecast.settings import Settings
from statecast.settings.checks import mount_path

PLAIN = ["/app", "/a/b", "/pillow.example", "/~anna", "/A-1_2", "/statecast", "/" + "a" * 199]
HOSTILE = [
    *("app", "//evil", "//evil.example/app", "/app//x", "/..", "/app/..", "/./app", "\\\\evil"),
    *("/app\r\nSet-Cookie: a=b", "/app\n", "/app ", "/a b", "/app?x", "/app#x", "/ap%70", "/ä"),
    *("https://evil.example", "javascript:alert(1)", '/"onload="x', "/<b>", "/app,/other", "/;"),
    *("/" + "a" * 200, "/app\0"),
]


@pytest.mark.parametrize("path", PLAIN)
def test_a_plain_path_is_taken_with_and_without_a_slash_at_its_end(path: str) -> None:
    assert mount_path(path) == path
    assert mount_path("/") == mount_path("") == ""
    assert Settings(base_path="/app/").base_path == "/app"


@pytest.mark.parametrize("path", HOSTILE)
def test_what_would_lead_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ValueError):
        mount_path(path)
    with pytest.raises(BadSetting, match="The setting base_path must be"):
        Settings(base_path=path)


def test_a_header_is_one_plain_path() -> None:
    assert forwarded_prefix([]) == forwarded_prefix([" / "]) == ""
    assert forwarded_prefix(["/app/"]) == "/app"
    with pytest.raises(ValueError, match="twice"):
        forwarded_prefix(["/app", "/app"])
    with pytest.raises(ValueError, match=r"must be a path like /app; it is ignored"):
        forwarded_prefix(["//evil"])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/app/devices/x?y", (b"/app", b"/devices/x?y")),
        (b"/app/", (b"/app", b"/")),
        (b"/app", (b"/app", b"/")),
        (b"/app?all", (b"/app", b"/?all")),
        (b"/application", (b"", b"/application")),
        (b"/healthz", (b"", b"/healthz")),
        (b"/app//x", (b"/app", b"//x")),
    ],
)
def test_a_target_is_split_at_the_base_path(target: bytes, expected: tuple[bytes, bytes]) -> None:
    assert split_target(target, b"/app") == expected
    assert split_target(target, b"") == (b"", target)


@pytest.mark.parametrize(
    ("scope_path", "script_name", "path_info", "prefix"),
    [
        ("/x", "", "/x", ""),
        ("/x", "/proxy", "/x", "/proxy"),
        ("/app/x", "/app", "/x", ""),
        ("/app/x", "/proxy/app", "/x", "/proxy"),
        ("/app/app/x", "/app/app/app", "/x", "/app"),
    ],
)
def test_what_only_a_proxy_knows_is_told_from_what_an_app_dispatched(
    scope_path: str, script_name: str, path_info: str, prefix: str
) -> None:
    assert outer_prefix(scope_path, script_name, path_info) == prefix
    assert inner_path("/proxy" + scope_path, "/proxy") == scope_path


# A server


def told(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answers with what a WSGI application learns of the path."""
    body = json.dumps([environ["SCRIPT_NAME"], environ["PATH_INFO"]]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def answer(server: Any, path: bytes, *headers: bytes) -> Any:
    more = b"".join(header + b"\r\n" for header in headers)
    return json.loads(fetch(server, get(path, more)).body)


TRUSTED, FOREIGN = {"trusted_proxy": "127.0.0.1"}, {"trusted_proxy": "192.0.2.1"}


@pytest.mark.parametrize(
    ("settings", "header", "path", "expected"),
    [
        (TRUSTED, b"X-Forwarded-Prefix: /app", b"/x/y", ["/app", "/x/y"]),
        (TRUSTED, b"X-Forwarded-Prefix: /x", b"/x/y", ["/x", "/x/y"]),
        (TRUSTED, b"X-Forwarded-Prefix: //evil", b"/x", ["", "/x"]),
        (TRUSTED, b"X-Forwarded-Prefix: /a\r\nX-Forwarded-Prefix: /b", b"/x", ["", "/x"]),
        (FOREIGN, b"X-Forwarded-Prefix: /app", b"/x", ["", "/x"]),
        ({}, b"X-Forwarded-Prefix: /app", b"/x", ["", "/x"]),
        ({"base_path": "/app"}, b"", b"/app/x", ["/app", "/x"]),
        ({"base_path": "/app"}, b"", b"/app", ["/app", "/"]),
        ({"base_path": "/app"}, b"", b"/x", ["", "/x"]),
        ({"base_path": "/app"}, b"X-Forwarded-Prefix: /no", b"/app/x", ["/app", "/x"]),
        (
            {"base_path": "/app"} | TRUSTED,
            b"X-Forwarded-Prefix: /out",
            b"/app/x",
            ["/out/app", "/x"],
        ),
    ],
)
def test_an_application_learns_the_path_from_trusted_proxies_and_the_setting_alone(
    settings: dict[str, Any], header: bytes, path: bytes, expected: list[str]
) -> None:
    with serving(told, **settings) as server:
        assert answer(server, path, *([header] if header else [])) == expected


def test_the_header_of_one_request_is_not_that_of_the_next() -> None:
    # given one connection of a proxy that shows us twice
    first = get(b"/x", b"X-Forwarded-Prefix: /app\r\n").replace(b"Connection: close\r\n", b"")
    with serving(told, **TRUSTED) as server, Peer(server) as peer:
        # when it asks with the header and then without it
        peer.send(first + get(b"/y"))
        bodies = peer.read_all().split(b"\r\n\r\n")
    # then each answer has its own path
    assert [json.loads(body.partition(b"HTTP/")[0]) for body in bodies[1:]] == [
        ["/app", "/x"],
        ["", "/y"],
    ]


@pytest.mark.parametrize("path", [b"/healthz", b"/readyz", b"/statecast/page.css", b"/app/healthz"])
def test_what_the_loop_answers_is_at_both_places(path: bytes) -> None:
    with serving(told, base_path="/app") as server:
        response: RawResponse = fetch(server, get(path))
        assert response.status == 200 and response.headers["content-type"] != "text/plain"

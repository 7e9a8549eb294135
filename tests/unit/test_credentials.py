"""What a request brings to say who it is of: tables of header fields."""

from __future__ import annotations

from typing import Any

import pytest

from statecast.access.credentials import TOO_LONG, Credentials
from statecast.errors import BadSetting
from statecast.http import credentials
from statecast.http.credentials import ProxyFields, of_environ, of_head, of_scope
from statecast.http.head import BY_PROXY, LOCAL, RequestHead, by_name
from statecast.runtime import Runtime
from statecast.server.wsgi_environ import build_environ
from statecast.settings import Settings

PROXY = ProxyFields("X-Forwarded-User", "X-Forwarded-Groups")
Fields = list[tuple[bytes, bytes]]


def scope_of(fields: Fields, *, local: bool = False, by_proxy: bool = False) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"token=sk_a_b&access_token=x",
        "headers": [(b"host", b"a.example"), *fields],
        "client": ("192.0.2.1", 5),
        "http_version": "1.1",
        "extensions": {LOCAL: local, BY_PROXY: by_proxy},
    }


def every_way(fields: Fields, proxy: ProxyFields = PROXY, **found: bool) -> list[Credentials]:
    """As an ASGI request, as the head of a viewer, and as a request to Flask."""
    scope = scope_of(fields, **found)
    head = RequestHead.of_scope(scope)
    packed = RequestHead.of_packed(head.packed())
    return [
        of_scope(scope, proxy),
        of_head(head, "192.0.2.1", proxy),
        of_head(packed, "192.0.2.1", proxy),
        of_environ(build_environ(scope, b""), proxy),
    ]


AUTHORIZATION, COOKIE = b"authorization", b"cookie"


@pytest.mark.parametrize(
    ("fields", "bearer", "problem"),
    [
        ([], "", ""),
        ([(AUTHORIZATION, b"Bearer abc")], "abc", ""),
        ([(AUTHORIZATION, b"bearer abc")], "abc", ""),
        ([(AUTHORIZATION, b"BEARER   a.b-c_d~e+f/g== ")], "a.b-c_d~e+f/g==", ""),
        ([(AUTHORIZATION, b"Basic YWRhOng=")], "", ""),  # of a proxy before us
        ([(AUTHORIZATION, b"Bearerabc")], "", ""),
        ([(AUTHORIZATION, b"")], "", ""),
        ([(AUTHORIZATION, b"Bearer")], "", credentials.MALFORMED),
        ([(AUTHORIZATION, b"Bearer ")], "", credentials.MALFORMED),
        ([(AUTHORIZATION, b"Bearer a b")], "", credentials.MALFORMED),
        ([(AUTHORIZATION, b"Bearer a,Bearer b")], "", credentials.MALFORMED),
        ([(AUTHORIZATION, b"Bearer a=b")], "", credentials.MALFORMED),
        ([(AUTHORIZATION, b"Bearer \xe9")], "", credentials.MALFORMED),
        ([(AUTHORIZATION, b"Bearer " + b"a" * 8_192)], "a" * 8_192, ""),
        ([(AUTHORIZATION, b"Bearer " + b"a" * 8_193)], "", TOO_LONG),
        ([(AUTHORIZATION, b"Bearer a"), (AUTHORIZATION, b"Bearer a")], "", credentials.TWICE),
        ([(AUTHORIZATION, b"Basic a"), (AUTHORIZATION, b"Bearer a")], "", credentials.TWICE),
    ],
)
def test_the_bearer_token(fields: Fields, bearer: str, problem: str) -> None:
    for found in every_way(fields):
        assert (found.bearer, found.problem) == (bearer, problem)
        assert found.address == "192.0.2.1"


@pytest.mark.parametrize(
    ("fields", "session"),
    [
        ([], ""),
        ([(COOKIE, b"statecast_session=a.b")], "a.b"),
        ([(COOKIE, b"x=1; statecast_session=a.b; y=2")], "a.b"),
        ([(COOKIE, b"x=1"), (COOKIE, b"statecast_session=a.b")], "a.b"),
        ([(COOKIE, b"statecast_session=a=b")], "a=b"),
        ([(COOKIE, b"xstatecast_session=a.b; STATECAST_SESSION=a.b")], ""),
        ([(COOKIE, b"statecast_session=a.b; statecast_session=c.d")], ""),
        ([(COOKIE, b"statecast_session=a.b"), (COOKIE, b"statecast_session=a.b")], ""),
        ([(COOKIE, b"statecast_session")], ""),
    ],
)
def test_the_session_cookie(fields: Fields, session: str) -> None:
    for found in every_way(fields):
        assert (found.session, found.problem) == (session, "")


USER, GROUPS = b"x-forwarded-user", b"x-forwarded-groups"


@pytest.mark.parametrize(
    ("fields", "user", "groups", "problem"),
    [
        ([(USER, b"ada")], "ada", (), ""),
        ([(USER, b" ada@a.example ")], "ada@a.example", (), ""),
        ([(USER, "zoë".encode())], "zoë", (), ""),
        ([(USER, b"ada"), (GROUPS, b"a, b,,c ")], "ada", ("a", "b", "c"), ""),
        ([(GROUPS, b"a")], "", (), ""),
        ([(USER, b""), (GROUPS, b"a")], "", (), ""),
        ([(USER, b"eve"), (USER, b"ada")], "", (), credentials.AMBIGUOUS),
        ([(USER, b"ada"), (GROUPS, b"a"), (GROUPS, b"b")], "", (), credentials.AMBIGUOUS),
        ([(USER, b"\xff")], "", (), credentials.UNREADABLE),
        ([(USER, b"a\tb")], "", (), credentials.UNREADABLE),
        ([(USER, "a\u202eb".encode())], "", (), credentials.UNREADABLE),
    ],
)
def test_what_a_trusted_proxy_says(
    fields: Fields, user: str, groups: tuple[str, ...], problem: str
) -> None:
    for found in every_way(fields, by_proxy=True):
        assert (found.proxy_user, found.proxy_groups, found.problem) == (user, groups, problem)
    # from another peer, or without the setting, the same fields say nothing
    for found in [*every_way(fields), *every_way(fields, ProxyFields(), by_proxy=True)]:
        assert (found.proxy_user, found.proxy_groups, found.problem) == ("", (), "")


def test_the_name_of_a_proxys_user_is_bounded() -> None:
    for length, refused in ((256, False), (257, True)):
        for found in every_way([(USER, b"a" * length)], by_proxy=True):
            assert bool(found.problem) == refused
            assert found.proxy_user == ("" if refused else "a" * length)


def test_under_another_server_the_proxys_fields_never_count() -> None:
    """Its environment does not say whether the peer is trusted, and joins fields of one name."""
    environ = {
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "HTTP_X_FORWARDED_USER": "ada",
        "HTTP_AUTHORIZATION": "Bearer abc",
        "HTTP_COOKIE": "statecast_session=a.b",
    }
    found = of_environ(environ, PROXY)
    assert (found.proxy_user, found.bearer, found.session) == ("", "abc", "a.b")
    assert found.address == "127.0.0.1"
    # a client cannot set what only our server sets
    assert of_environ(environ | {"HTTP_STATECAST_BY_PROXY": "1"}, PROXY).proxy_user == ""


@pytest.mark.parametrize("local", [False, True])
def test_whether_a_request_is_of_this_machine(local: bool) -> None:
    assert [found.local for found in every_way([], local=local)] == [local] * 4


def test_fields_with_an_underscore_are_not_the_proxys() -> None:
    for found in every_way([(b"x_forwarded_user", b"eve")], by_proxy=True):
        assert found.proxy_user == ""


def test_nothing_is_taken_from_the_address() -> None:
    for found in every_way([]):
        assert found == Credentials(address="192.0.2.1")


def test_by_name_keeps_what_comes_twice() -> None:
    assert by_name([(USER, b"a"), (USER, b"b")]) == {USER: (b"a", b"b")}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"proxy_user_header": "X-User"}, "proxy_user_header is believed of a trusted_proxy alone"),
        (
            {"proxy_groups_header": "X-Groups", "trusted_proxy": "10.0.0.1"},
            "proxy_groups_header says nothing without proxy_user_header",
        ),
    ],
)
def test_fields_that_would_never_count_are_refused(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(BadSetting, match=sentence):
        _ = Runtime(Settings(store="memory:", **given)).rights.policy  # type: ignore[arg-type]

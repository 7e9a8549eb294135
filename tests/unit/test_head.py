"""The head of a request, as every endpoint reads it."""

from __future__ import annotations

import pytest

from statecast.http.head import MAX_QUERY_FIELDS, RequestHead, by_name

HEADERS = [(b"host", b"example.test"), (b"connection", b"keep-alive, Upgrade"), (b"x", b"1")]


def test_a_target_is_a_path_and_a_query() -> None:
    head = RequestHead.of_target(
        "GET", b"/socket.io/?EIO=4&sid=a%20b&sid=&t", by_name(HEADERS), True
    )
    assert (head.method, head.path, head.secure) == ("GET", "/socket.io/", True)
    assert head.query == {"EIO": "4", "sid": "", "t": ""}
    assert not RequestHead.of_target("GET", b"/", by_name(HEADERS), False).query


def test_a_scope_is_read_into_the_same_value() -> None:
    scope = {
        "method": "GET",
        "path": "/events",
        "query_string": b"device=a",
        "headers": HEADERS,
        "scheme": "https",
    }
    assert RequestHead.of_scope(scope) == RequestHead.of_target(
        "GET", b"/events?device=a", by_name(HEADERS), True
    )


def test_a_query_with_too_many_fields_counts_as_empty() -> None:
    fields = b"&".join(b"f%d=1" % number for number in range(MAX_QUERY_FIELDS + 1))
    assert not RequestHead.of_target("GET", b"/?" + fields, {}, False).query
    most = fields.rpartition(b"&")[0]
    assert len(RequestHead.of_target("GET", b"/?" + most, {}, False).query) == MAX_QUERY_FIELDS


def test_values_and_lists() -> None:
    head = RequestHead.of_target("GET", b"/", by_name([*HEADERS, (b"x", b"2\xe4")]), False)
    assert head.values(b"x") == (b"1", b"2\xe4")
    assert head.values(b"y") == ()
    assert head.lists(b"connection", b"upgrade")
    assert not head.lists(b"connection", b"keep")


@pytest.mark.parametrize(
    "head",
    [
        RequestHead("GET", "/", b"", {}, secure=False),
        RequestHead("GET", "/socket.io/", b"EIO=4&a=\xff", {b"host": (b"a.example",)}, secure=True),
        RequestHead("GET", "/a\nb: c", b"", {b"cookie": [b"a=1", b"b=\n2"]}, secure=False),
    ],
)
def test_a_head_that_was_packed_is_the_same(head: RequestHead) -> None:
    again = RequestHead.of_packed(head.packed())
    assert again._replace(headers={}) == head._replace(headers={})
    assert {name: list(values) for name, values in again.headers.items()} == {
        name: list(values) for name, values in head.headers.items()
    }


def test_a_packed_head_is_little_more_than_its_bytes() -> None:
    fields = {b"name-%d" % number: (b"x" * 50,) for number in range(15)}
    head = RequestHead("GET", "/socket.io/", b"EIO=4&transport=websocket", fields, secure=False)
    assert len(head.packed()) < 15 * (50 + 6) + 40 + 300

"""Who may connect and how much they may send."""

from __future__ import annotations

import pytest

from statecast.http.origin import origin_allowed

HOST = "app.example:8000"

SAME = [
    (None, HOST),
    ("http://app.example:8000", HOST),
    ("HTTP://APP.example:8000", HOST),
    ("https://app.example:8000", HOST),
    ("https://app.example", "app.example"),
    ("http://app.example", "app.example"),
    ("https://app.example:443", "app.example"),
    ("http://app.example", "app.example:80"),
    ("http://127.0.0.1:8000", "127.0.0.1:8000"),
    ("http://[::1]:8000", "[::1]:8000"),
    ("http://localhost:8000", "LOCALHOST:8000"),
]

FOREIGN = [
    ("null", HOST),
    ("", HOST),
    ("*", HOST),
    ("http://evil.example", HOST),
    ("http://app.example", HOST),
    ("http://app.example:8001", HOST),
    ("http://app.example:8000.evil.example", HOST),
    ("http://evil-app.example:8000", HOST),
    ("http://app.example.evil.example:8000", HOST),
    ("http://sub.app.example:8000", HOST),
    ("http://app.example.:8000", HOST),
    ("http://app.example:8000/", HOST),
    ("http://app.example:8000@evil.example", HOST),
    ("http://user@app.example:8000", HOST),
    ("http://app.example:8000, http://evil.example", HOST),
    (" http://app.example:8000", HOST),
    ("http://app.example:8000\x00", HOST),
    ("http://app.example:8000\n", HOST),
    ("file://", HOST),
    ("ftp://app.example:8000", HOST),
    ("//app.example:8000", HOST),
    ("app.example:8000", HOST),
    ("http://localhost:8000", "127.0.0.1:8000"),
    ("http://app.example", ""),
    ("http://", ""),
    ("http://app.example:8000", "app.example:8000, evil.example"),
]


@pytest.mark.parametrize(("origin", "host"), SAME)
def test_the_same_origin_may_connect(origin: str | None, host: str) -> None:
    assert origin_allowed(origin, host)


@pytest.mark.parametrize(("origin", "host"), FOREIGN)
def test_others_may_not(origin: str, host: str) -> None:
    assert not origin_allowed(origin, host)


def test_the_scheme_counts_where_it_is_known() -> None:
    assert origin_allowed("https://app.example", "app.example", scheme="https")
    assert not origin_allowed("http://app.example", "app.example", scheme="https")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://other.example", True),
        ("https://other.example:443", True),
        ("https://OTHER.example", True),
        ("http://other.example", False),
        ("https://other.example:444", False),
        ("https://other.example.evil", False),
        ("http://app.example:8000", True),
        ("null", False),
    ],
)
def test_further_origins_are_named_exactly(origin: str, allowed: bool) -> None:
    assert origin_allowed(origin, HOST, ["https://other.example"]) is allowed


def test_a_star_allows_every_origin_but_null() -> None:
    assert origin_allowed("https://any.example", HOST, ["*"])
    assert not origin_allowed("null", HOST, ["*"])

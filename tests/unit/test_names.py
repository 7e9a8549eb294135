"""Names of devices, and patterns that match them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statecast import names
from statecast.errors import Malformed

GOOD = [
    "pillow",
    "a",
    "A-Z_0.9:x",
    "floor2/room-7/lamp",
    "...",
    ".a",
    "a..b",
    "-",
    "d" * 128,
    "a/b" * 42,
    "..a/.b",
]
BAD: list[Any] = [
    "", ".", "..", "a/..", "../a", "a/./b", "/a", "a/", "a//b", "a b", "a\n", "\na", "ä", "a%2fb",
    "a?b", "*", "a*", "a\0", "d" * 129,
    None, 5, b"pillow", ["pillow"], "<script>", "a\\b", "\u202e",
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_name(name: str) -> None:
    assert names.check(name) == name
    assert names.check_pattern(name) == name


@pytest.mark.parametrize("name", BAD)
def test_no_name(name: Any) -> None:
    with pytest.raises(Malformed) as refusal:
        names.check(name)
    assert str(refusal.value).isprintable() and len(str(refusal.value)) < 250


@pytest.mark.parametrize("pattern", ["*", "floor2/*", "floor2/room-7/*"])
def test_a_pattern(pattern: str) -> None:
    assert names.check_pattern(pattern) == pattern


@pytest.mark.parametrize(
    "pattern", ["**", "*/a", "a*", "a/*/b", "/*", "../*", "a/**", "*/*", "", None, 5, ["*"]]
)
def test_no_pattern(pattern: Any) -> None:
    with pytest.raises(Malformed):
        names.check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "chosen", "left"),
    [
        ("*", ["a", "a/b"], []),
        ("a", ["a"], ["a/b", "ab", "A"]),
        ("a/*", ["a/b", "a/b/c"], ["a", "ab", "b/a"]),
        ("a/b/*", ["a/b/c"], ["a/b", "a/bc"]),
    ],
)
def test_what_a_pattern_matches(pattern: str, chosen: list[str], left: list[str]) -> None:
    assert [name for name in chosen + left if names.match(pattern, name)] == chosen


@given(st.text(max_size=200))
def test_what_is_shown_of_a_text_is_short_and_printable(text: str) -> None:
    shown = names.quoted(text)
    assert shown.isprintable()
    assert shown.startswith("“") and shown.endswith("”")
    assert len(shown) < 60


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///statecast.db", "sqlite:///statecast.db"),
        ("postgresql:///store", "postgresql:///store"),
        ("postgresql://ada@db/store", "postgresql://ada@db/store"),
        ("postgresql://ada:pw@db:5432/store", "postgresql://ada:***@db:5432/store"),
        ("postgresql://ada:p:w%40@db/store?a=b", "postgresql://ada:***@db/store?a=b"),
        ("postgresql:///s?user=a&password=pw&b=c", "postgresql:///s?user=a&password=***&b=c"),
        ("postgresql:///s?sslpassword=pw", "postgresql:///s?sslpassword=***"),
        ("postgres://h/s?lease_url=postgresql%3A%2F%2Fa%3Apw%40h", "postgres://h/s?lease_url=***"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert names.without_password(url) == shown

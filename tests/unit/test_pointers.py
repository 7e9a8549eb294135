"""JSON pointers: the examples of RFC 6901, and what none is."""

from __future__ import annotations

from typing import Any

import pytest

from statecast.decoders.pointers import MISSING, find, parse, text_of

DOCUMENT = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
    "null": None,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
        ("/null", None),
        ("/foo/2", MISSING),
        ("/foo/-", MISSING),
        ("/foo/01", MISSING),
        ("/foo/-1", MISSING),
        ("/foo/x", MISSING),
        ("/foo/\u0660", MISSING),
        ("/foo/0/b", MISSING),
        ("/null/a", MISSING),
        ("/bar", MISSING),
        ("/foo/", MISSING),
    ],
)
def test_a_pointer_finds_one_place_or_nothing(pointer: str, value: Any) -> None:
    found = find(DOCUMENT, parse(pointer))
    assert found is MISSING if value is MISSING else found == value


@pytest.mark.parametrize("text", ["subject", "#/subject", "/a~", "/a~2", "/~/b", " /a"])
def test_what_is_no_pointer_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="must be a JSON pointer"):
        parse(text)


def test_a_sentence_shows_the_pointer_as_it_was_written() -> None:
    for text in ("/a~1b", "/m~0n/0", "/"):
        assert text_of(parse(text)) == text
    assert text_of(()) == "the whole message"

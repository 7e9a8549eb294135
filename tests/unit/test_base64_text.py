"""Base64 or plain text.

Told apart by the first character, and whatever is neither is refused with a sentence.
"""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statecast.decoders.base64_text import from_base64, unwrap
from statecast.errors import Malformed, Refused

GOOD = '{"device":"pillow","state":{"mood":"glücklich 🛏"}}'.encode()


def wrapped(body: bytes, times: int = 1) -> bytes:
    return body if not times else wrapped(base64.b64encode(body), times - 1)


@pytest.mark.parametrize(
    "body",
    [
        GOOD,
        b" \r\n" + GOOD + b"\n",
        b"\xef\xbb\xbf" + GOOD,
        b" \xef\xbb\xbf " + GOOD,
        wrapped(GOOD),
        b" " + wrapped(GOOD) + b"\r\n",
        wrapped(b"\xef\xbb\xbf" + GOOD),
        wrapped(GOOD, 2),
        wrapped(GOOD, 3),
        json.dumps(GOOD.decode()).encode(),
        json.dumps(wrapped(GOOD).decode()).encode(),
        wrapped(json.dumps(GOOD.decode()).encode()),
        json.dumps(json.dumps(GOOD.decode())).encode(),
    ],
)
def test_what_is_inside_is_found(body: bytes) -> None:
    assert unwrap(body) == GOOD


def test_an_array_is_json_too() -> None:
    assert unwrap(b"[]") == b"[]"
    assert unwrap(wrapped(b" [1]")) == b"[1]"


def test_what_begins_like_json_is_never_tried_as_anything_else() -> None:
    """A lenient reader would decode {} and [] to nothing at all."""
    assert unwrap(b"{}") == b"{}"
    assert unwrap(b"{broken") == b"{broken"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "It is empty."),
        (b" \n", "It is empty."),
        (b"\xef\xbb\xbf", "It is empty."),
        (b'""', "It is empty."),
        (b"true", "Base64 of something that is not text"),
        (b"null", "Base64 of something that is not text"),
        (b"12345678", "Base64 of something that is not text"),
        (b"test", "Base64 of something that is not text"),
        (b"1234567", "no multiple of 4"),
        (b"mood=happy", "neither JSON (an object or an array) nor Base64"),
        (b"hello world!", "neither JSON (an object or an array) nor Base64"),
        (b"YWI=YWI=", "neither JSON (an object or an array) nor Base64"),
        (b"YW==\nYWJj", "neither JSON (an object or an array) nor Base64"),
        (b"====", "neither JSON (an object or an array) nor Base64"),
        (b"eyJ-_SI6", "alphabet for URLs"),
        (b"YWJj", "no multiple of 4"),  # of the text inside, which is not JSON either
        (b"<html></html>", "neither JSON"),
        (b'"unfinished', "not JSON"),
        (b'"\\ud800"', "half a character"),
        (b'"a" "b"', "not JSON"),
        (b"\xff\xfe{\x00}\x00", "neither JSON"),
        (base64.b64encode(b"\xff\xfe\xfd"), "not text in UTF-8 (byte 1)"),
        (wrapped(GOOD, 4), "more than 3 times"),
        (wrapped(b"5"), "no multiple of 4"),
        (b"A" * 1_048_580, "at most 1048576"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(body: bytes, sentence: str) -> None:
    with pytest.raises(Refused, match=r"^It .*\.$") as refused:
        unwrap(body)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    "text", [b"YQ", b"YQ=", b"Y", b"YQ==\n", b"Y Q==", b"YQ==YQ==", b"=", b"", b"\xc3\xbc"]
)
def test_base64_is_strict(text: bytes) -> None:
    with pytest.raises(Malformed):
        from_base64(text)


@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    try:
        assert unwrap(body)[:1] in (b"{", b"[")
    except Refused as error:
        assert str(error).endswith(".")


@given(st.text(max_size=30), st.integers(0, 3))
def test_any_text_comes_out_as_it_went_in(text: str, times: int) -> None:
    body = json.dumps({"text": text}, ensure_ascii=False).encode("utf-8", "replace")
    assert unwrap(wrapped(body, times)) == body

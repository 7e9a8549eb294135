"""The encodings of a message: what is read, and the sentence for what is not."""

from __future__ import annotations

import base64
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statecast.decoders import encodings, items, open_decoder
from statecast.decoders.encodings import from_base64, unwrap
from statecast.errors import Malformed, Refused
from statecast.model import Delivery, Message
from tests.encodings import MESSAGE, NAMED, READ, TEXT


def read(body: bytes) -> Message:
    return open_decoder({}, "azure-queue:q")(Delivery("m1", body, 0))


@pytest.mark.parametrize("body", [row[1] for row in READ], ids=[row[0] for row in READ])
def test_what_is_inside_is_found(body: bytes) -> None:
    assert json.loads(unwrap(body)) == MESSAGE


@pytest.mark.parametrize(
    ("body", "sentence"), [row[1:] for row in NAMED], ids=[row[0] for row in NAMED]
)
def test_what_is_not_read_is_named(body: bytes, sentence: str) -> None:
    # when it is read as a message
    (refusal,) = read(body).refusals
    # then one sentence says what it is, and the body is kept as it came
    assert sentence in refusal.reason
    assert refusal.reason.isprintable() and refusal.reason.endswith((".", '\\".', "}}."))
    assert len(refusal.reason) < 250
    assert refusal.body == body


def test_an_array_is_json_too() -> None:
    assert unwrap(b"[]") == b"[]"
    assert unwrap(base64.b64encode(b" [1]")) == b"[1]"


def test_what_begins_like_json_is_never_tried_as_anything_else() -> None:
    """A lenient reader would decode {} and [] to nothing at all."""
    assert unwrap(b"{}") == b"{}"
    assert unwrap(b"{broken") == b"{broken"


def test_a_mark_is_no_part_of_the_text_in_any_charset() -> None:
    for charset in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        assert unwrap("\ufeff{}".encode(charset)) == b"{}"
        assert encodings.charset_of("\ufeff{}".encode(charset)) == charset


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (b"YQ==", b"a"), (b"YQ", b"a"), (b"YQ==\n", b"a"), (b"Y\nQ=\r\n=\n", None),
        (b"YWJj", b"abc"), (b"YW\r\nJj", b"abc"), (b"-_-_", b"\xfb\xff\xbf"),
        (b"+/+/", b"\xfb\xff\xbf"), (b"+_+_", None), (b"YQ=", None), (b"Y", None), (b"Y Q==", None),
        (b"YQ==YQ==", None), (b"=", None), (b"", None), (b"\xc3\xbc", None), (b"YWJj=", None),
    ],
)  # fmt: skip
def test_base64_is_read_or_refused_as_a_whole(text: bytes, content: bytes | None) -> None:
    if content is not None:
        assert from_base64(text) == content
    else:
        with pytest.raises(Malformed):
            from_base64(text)


def test_the_member_that_must_be_an_object_may_be_text() -> None:
    state = {"mood": "happy"}
    for text in (json.dumps(state), base64.b64encode(json.dumps(state).encode()).decode()):
        assert encodings.inner(text) == state
    for other in ("happy", "", "on", 5, None, [1], True):
        assert encodings.inner(other) is other
    with pytest.raises(Malformed, match=r"has JSON as text that cannot be read\. NaN is not"):
        encodings.inner('{"a":NaN}')


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"{}", None),
        (b"{}\n\n", None),
        (b'{"a":\n{}}', None),
        (b"{}\n{}", 2),
        (b"{}\r\n\r\n {} \n{broken}", 3),
        (b"{}\n{", None),
        (b"{}\n5", None),
        (b"[1,2]", 2),
    ],
)
def test_json_lines_are_told_from_one_object(text: bytes, lines: int | None) -> None:
    found = items.split(text)
    assert (None if found is None else len(found)) == lines


def test_one_object_over_many_lines_is_never_json_lines() -> None:
    value = {"{": {"}": [{}, {}], "b": "}"}, "a": [{"c": {}}]}
    for indent in (None, 0, 1, 4, "\t"):
        for separators in (None, (",\n", ":\n"), ("\n,", "\n:")):
            text = json.dumps(value, indent=indent, separators=separators).encode()
            assert items.split(text) is None


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    try:
        assert unwrap(body)[:1] in (b"{", b"[")
    except Refused as error:
        assert str(error).endswith(".")


@given(st.text(max_size=30), st.integers(0, 3), st.sampled_from([0, 60, 64, 76]), st.booleans())
def test_any_text_comes_out_as_it_went_in(text: str, times: int, width: int, pad: bool) -> None:
    body = json.dumps({"text": text}, ensure_ascii=False).encode("utf-8", "replace")
    wrapped = body
    for _ in range(times):
        wrapped = base64.b64encode(wrapped)
        wrapped = wrapped if pad else wrapped.rstrip(b"=")
        wrapped = re.sub(b"(.{%d})" % width, rb"\1\n", wrapped) if width else wrapped
    assert unwrap(wrapped) == body


@given(st.binary(max_size=40))
def test_the_text_of_any_bytes_is_those_bytes(content: bytes) -> None:
    body = b'{"a":' + content + b"}"
    assert unwrap(str(body).encode()) == body.strip(b" \t\r\n")


@given(st.integers(0, len(TEXT)))
def test_what_has_arrived_of_a_message_is_its_beginning(length: int) -> None:
    assert TEXT.decode().startswith(encodings.begun(TEXT[:length]).rstrip("\ufffd"))
    encoded = base64.b64encode(TEXT)[:length]
    assert TEXT.decode().startswith(encodings.begun(encoded).rstrip("\ufffd"))

"""A message with one bad field: refused, or applied without it and told."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statecast import strict_json
from statecast.decoders import open_decoder
from statecast.errors import BadSetting, Malformed
from statecast.model import Delivery, Message

DROPPED: list[tuple[str, str, Any, list[str]]] = [
    ("nothing", '{"a":1}', {"a": 1}, []),
    ("NaN", '{"a":NaN,"b":1}', {"b": 1}, ["/a"]),
    ("infinities", '{"a":Infinity,"b":-Infinity,"c":1}', {"c": 1}, ["/a", "/b"]),
    ("an overflow", '{"a":1e999,"b":1.5}', {"b": 1.5}, ["/a"]),
    ("2^53", '{"a":9007199254740993,"b":9007199254740991}', {"b": 2**53 - 1}, ["/a"]),
    ("5 000 digits", '{"a":%s,"b":1}' % ("9" * 5_000), {"b": 1}, ["/a"]),
    ("below", '{"a":{"x":NaN,"y":1},"b":1}', {"a": {"y": 1}, "b": 1}, ["/a/x"]),
    ("all of an object", '{"a":{"x":NaN}}', {"a": {}}, ["/a/x"]),
    ("in an array", '{"a":[1,NaN,3],"b":1}', {"b": 1}, ["/a"]),
    ("deep in arrays", '{"a":[[1],[[NaN]]],"b":1}', {"b": 1}, ["/a"]),
    ("in an object of an array", '{"a":[{"x":NaN,"y":1}]}', {"a": [{"y": 1}]}, ["/a/0/x"]),
    ("half a character", '{"a":"\\ud800","b":1}', {"b": 1}, ["/a"]),
    ("half a character as a name", '{"\\ud800":1,"b":1}', {"b": 1}, ["/\\ud800"]),
    ("a long name", '{"%s":1,"b":1}' % ("n" * 257), {"b": 1}, ["/nnn"]),
    ("NUL in a name", '{"a\\u0000":1,"b":1}', {"b": 1}, ["/a\\x00"]),
]

REFUSED: list[tuple[str, str]] = [
    ("no JSON", '{"a":NaN'),
    ("a name twice", '{"a":NaN,"b":1,"b":2}'),
    ("a bad value alone", "NaN"),
    ("a bad value in an array alone", "[1,NaN]"),
    ("too many levels", '{"a":NaN,"b":' + "[" * 40 + "]" * 40 + "}"),
    ("far too many levels", '{"a":' * 60_000 + "1" + "}" * 60_000),
    ("too many members", "{" + ",".join(f'"f{n}":{n}' for n in range(300)) + ',"a":NaN}'),
]


@pytest.mark.parametrize(
    ("text", "value", "places"), [r[1:] for r in DROPPED], ids=[r[0] for r in DROPPED]
)
def test_a_bad_member_is_dropped_and_named(text: str, value: Any, places: list[str]) -> None:
    found, sentences = strict_json.decode_dropping(text)
    assert found == value
    assert len(sentences) == len(places)
    for sentence, place in zip(sentences, places, strict=True):
        assert sentence.startswith(f"The field “{place}")
        assert sentence.endswith(".") and sentence.isprintable()


@pytest.mark.parametrize("text", [row[1] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_no_dropped_member_makes_right_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as strictly:
        strict_json.decode(text)
    with pytest.raises(Malformed) as refused:
        strict_json.decode_dropping(text)
    assert str(refused.value) in (str(strictly.value), strict_json.TOO_DEEP) or (
        "members" in str(refused.value)
    )


def test_many_dropped_members_are_counted() -> None:
    text = "{" + ",".join(f'"f{number}":NaN' for number in range(40)) + ',"good":1}'
    value, sentences = strict_json.decode_dropping(text)
    assert value == {"good": 1}
    assert len(sentences) == 11 and sentences[-1] == "30 more fields were dropped."


@given(st.text(alphabet='{}[]",:aNn1e9.\\u0d8 ', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        value, dropped = strict_json.decode_dropping(text)
    except Malformed as error:
        assert str(error).isprintable()
    else:
        assert strict_json.decode(strict_json.encode(value)) == value
        assert all(one.isprintable() for one in dropped)


# As an option of a source's URL


def read(body: str | bytes, url: str = "azure-queue:q", **options: str) -> Message:
    body = body.encode() if isinstance(body, str) else body
    return open_decoder(options, url)(Delivery("m1", body, 0))


FORTY = ",".join(f'"f{number}":{number}' for number in range(39)) + ',"bad":NaN'
STATE = "{" + FORTY + "}"
HUB = (
    '{"id":"e","eventType":"Microsoft.Devices.DeviceTelemetry","subject":"devices/d",'
    '"eventTime":"2026-01-31T12:00:00Z","data":{"body":%s}}'
)
GRID = '{"id":"e","eventType":"t","subject":"d","eventTime":"2026-01-31T12:00:00Z","data":%s}'
CLOUD = '{"specversion":"1.0","id":"e","source":"d","type":"t",%s}'
PLAIN = '{"device":"d","state":%s}'
OWN = '{"who":"d","v":%s}'
IN_BASE64 = json.dumps(base64.b64encode(STATE.encode()).decode())
MESSAGES: list[tuple[str, str | bytes, dict[str, str]]] = [
    ("plain", PLAIN % STATE, {}),
    ("plain in Base64", base64.encodebytes((PLAIN % STATE).encode()), {}),
    ("plain with the state as text", PLAIN % json.dumps(STATE), {}),
    ("a state", STATE, {"default": "d"}),
    ("of your own", OWN % STATE, {"device": "/who", "state": "/v"}),
    ("telemetry", HUB % STATE, {}),
    ("telemetry in Base64", HUB % IN_BASE64, {}),
    ("Event Grid", GRID % STATE, {}),
    ("Event Grid with data as text", GRID % json.dumps(STATE), {}),
    ("a CloudEvent", CLOUD % f'"data":{STATE}', {}),
    ("a CloudEvent with data in Base64", CLOUD % f'"data_base64":{IN_BASE64}', {}),
]


@pytest.mark.parametrize("url", ["azure-queue:q", "embedded:queue"])
@pytest.mark.parametrize(
    ("body", "options"), [row[1:] for row in MESSAGES], ids=[row[0] for row in MESSAGES]
)
def test_one_bad_field_of_forty(body: str | bytes, options: dict[str, str], url: str) -> None:
    # given a message with one bad field, then it is refused, with the reason
    for refuse in ({}, {"on_bad_field": "refuse"}):
        (refusal,) = read(body, url, **options, **refuse).refusals
        assert "NaN is not a number" in refusal.reason
    # unless its source drops bad fields: then the other 39 are applied, and it is told
    message = read(body, url, **options, on_bad_field="drop")
    assert message.refusals == ()
    (change,) = message.changes
    assert change.device == "d" and len(change.state) == 39 and "bad" not in change.state
    (sentence,) = change.left_out
    assert "/bad” was dropped. NaN is not a number in JSON" in sentence


def test_items_of_an_array_are_told_apart() -> None:
    good, bad = '{"device":"a","state":{"x":1}}', '{"device":"b","state":{"x":NaN,"y":1}}'
    message = read(f"[{good},{bad}]", on_bad_field="drop")
    assert [one.state for one in message.changes] == [{"x": 1}, {"y": 1}]
    assert [len(one.left_out) for one in message.changes] == [0, 1]


def test_what_else_is_wrong_is_refused_all_the_same() -> None:
    (refusal,) = read('{"device":"a b","state":{"x":NaN}}', on_bad_field="drop").refusals
    assert "is not a name of a device" in refusal.reason
    (refusal,) = read("{'device': 'd'}", on_bad_field="drop").refusals
    assert "json.dumps(message)" in refusal.reason


def test_a_wrong_value_is_an_error_at_start() -> None:
    with pytest.raises(BadSetting, match=r"'on_bad_field' .* must be refuse or drop"):
        open_decoder({"on_bad_field": "ignore"}, "azure-queue:q")

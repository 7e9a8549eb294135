"""Plain messages: what they say, and the sentence with which each bad one is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statecast.decoders import open_decoder
from statecast.decoders.decoder import Decoder
from statecast.errors import BadSetting
from statecast.model import Change, Delivery, Message
from statecast.testing.values import START

GOOD = '{"device":"pillow","state":{"mood":"happy"}}'


def decoded(body: bytes | str, default: str | None = None) -> Message:
    body = body.encode() if isinstance(body, str) else body
    options = {} if default is None else {"default": default}
    return open_decoder(options)(Delivery("m1", body, START))


def one(body: bytes | str, default: str | None = None) -> Change:
    message = decoded(body, default)
    assert message.refusals == ()
    (change,) = message.changes
    assert len(message.items) == 1 and message.items[0][0] is None
    return change


def reason(body: bytes | str, default: str | None = None) -> str:
    message = decoded(body, default)
    assert message.changes == () == message.items
    (refusal,) = message.refusals
    assert refusal.body == (body if isinstance(body, bytes) else body.encode())
    assert (
        refusal.reason.isprintable()
        and refusal.reason.endswith((".", ".."))
        and len(refusal.reason) < 250
    )
    return refusal.reason


def said(**members: Any) -> str:
    return json.dumps({"device": "pillow", "state": {"mood": "happy"}, **members})


def test_a_message_has_a_device_and_a_state() -> None:
    assert one(GOOD) == Change("pillow", "merge", {"mood": "happy"})
    assert one(f" \n{GOOD}\r\n ") == one(GOOD)
    assert decoded(GOOD).items == ((None, GOOD.encode()),)


def test_a_message_may_say_more() -> None:
    change = one(
        said(
            time="2026-01-31T12:00:00Z",
            id="e1",
            sequence=7,
            silent_after=60,
            by="user",
            replace=True,
        )
    )
    assert change == Change(
        "pillow", "replace", {"mood": "happy"}, 1_769_860_800_000, 7, "e1", 60.0, "user"
    )
    assert one('{"device":"pillow","delete":true}') == Change("pillow", "delete", {})
    assert one('{"device":"pillow","delete":true,"state":{}}').kind == "delete"
    assert one(said(replace=False, delete=False)).kind == "merge"


def test_what_may_be_left_out_may_be_null() -> None:
    names = ("time", "id", "sequence", "silent_after", "by", "replace", "delete")
    assert one(said(**dict.fromkeys(names))) == one(GOOD)


def test_azures_own_member_is_ignored() -> None:
    assert one(said(**{"$AzureWebJobsParentId": "1-2-3"})) == one(GOOD)
    assert one('{"$AzureWebJobsParentId":"1","mood":"happy"}', "pillow") == one(GOOD)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("null", "A message is a JSON object"),
        ("5", "a number"),
        ('"happy"', "neither JSON (an object or an array) nor Base64"),
        ("true", "or true, false or null"),
        ("{}", "names no device"),
        ('{"state":{}}', "names no device"),
        ('{"device":null,"state":{}}', "must be text"),
        ('{"device":5,"state":{}}', "must be text"),
        ('{"device":"","state":{}}', "must not be empty"),
        ('{"device":"../etc","state":{}}', "is not a name"),
        ('{"device":"a b","state":{}}', "is not a name"),
        ('{"device":"%s","state":{}}' % ("d" * 129), "at most 128"),
        ('{"device":"pillow"}', "brings no state"),
        ('{"device":"pillow","state":5}', "“state” must be a JSON object"),
        ('{"device":"pillow","state":null}', "it is null"),
        ('{"device":"pillow","state":[1]}', "it is an array"),
        ('{"device":"pillow","state":"on"}', "it is a text"),
        ('{"device":"pillow","state":"[1]"}', "it is an array"),
        ('{"device":"pillow","state":"{1}"}', "has JSON as text that cannot be read"),
        ('{"state": 5}', "names no device"),
        ('{"device":"pillow","state":{},"tiem":"x"}', "“tiem” is not a member"),
        ('{"device":"pillow","state":{},"\\u001b[31m":"x"}', "is not a member"),
        (said(time=5), "“time” must be text"),
        (said(time="yesterday"), "“yesterday” is not a time"),
        (said(time="2026-13-01T00:00:00Z"), "is not a time"),
        (said(sequence=-1), "“sequence”"),
        (said(sequence=1.5), "“sequence”"),
        (said(sequence=True), "“sequence”"),
        (said(sequence="7"), "“sequence”"),
        (said(id=7), "“id”"),
        (said(id=""), "“id”"),
        (said(id="i" * 257), "“id”"),
        (said(silent_after=0), "“silent_after”"),
        (said(silent_after=-1), "“silent_after”"),
        (said(silent_after="60"), "“silent_after”"),
        (said(silent_after=True), "“silent_after”"),
        (said(silent_after=1e10), "“silent_after”"),
        (said(by="admin"), "“by”"),
        (said(by=["device"]), "“by”"),
        (said(replace="yes"), "“replace” must be true or false"),
        (said(delete=1), "“delete” must be true or false"),
        (said(delete=True), "brings no state"),
        (said(delete=True, replace=True), "at once"),
        ('{"device":"pillow","state":{"a":NaN}}', "NaN"),
        ('{"device":"pillow","state":{"a":"\\ud800"}}', "half a character"),
        ('{"device":"pillow","state":{"a":1,"a":2}}', "“a” twice"),
        ('{"device":"a","device":"b","state":{}}', "“device” twice"),
        (b'{"device":"pillow","state":{"a":"\xff"}}', "UTF-8"),
        (b"eyJkZXZpY2UiOiJwaWxsb3ci", "not JSON"),
        ("[" * 60_000, "not JSON"),
        ('{"device":"pillow","state":{"a":' + "[" * 30_000 + "]" * 30_000 + "}}", "32 levels"),
        ("[]", "holds no message"),
        ("[1", "not JSON"),
        ("[1] [2]", "after the end"),
        (b"[\xff]", "UTF-8"),
        (b" " * 70_000, "It is empty."),
        (b"x" * 10_000_000, "10000000 bytes"),
        (b"[" * 10_000_000, "1048576"),
    ],
    ids=lambda value: repr(value[:40]),
)  # fmt: skip
def test_a_bad_message_is_refused_with_a_sentence(body: bytes | str, sentence: str) -> None:
    assert sentence in reason(body)


def test_a_message_has_64_kib_at_most() -> None:
    frame = len(said(state={"t": ""}))
    assert one(said(state={"t": "x" * (65_536 - frame)})).device == "pillow"
    assert "65537 bytes" in reason(said(state={"t": "x" * (65_537 - frame)}))


# Arrays


def test_items_of_an_array_stand_alone() -> None:
    deep = "[" * 60_000 + "]" * 60_000
    bad = ["5", '{"device":null}', '{"device":"x","state":{"a":NaN}}', deep, "[]"]
    items = [GOOD, *bad, '{"device":"chair","state":{}}']
    message = decoded(" [" + " ,".join(items) + "]")
    assert [change.device for change in message.changes] == ["pillow", "chair"]
    assert message.items == ((0, GOOD.encode()), (6, items[6].encode()))
    assert [refusal.item for refusal in message.refusals] == [1, 2, 3, 4, 5]
    assert [refusal.body for refusal in message.refusals] == [item.encode() for item in bad]
    assert all(refusal.reason for refusal in message.refusals)


def test_a_deep_item_that_does_not_end_is_refused_and_its_neighbours_are_kept() -> None:
    deep = '{"device":"x","state":' + "[" * 60_000
    message = decoded(f"[{GOOD},{deep}")
    assert [change.device for change in message.changes] == ["pillow"]
    (refusal,) = message.refusals
    assert (refusal.item, refusal.body) == (1, deep.encode())
    assert "32 levels" in refusal.reason


def test_an_array_has_1000_messages_and_1_mib_at_most() -> None:
    assert len(decoded(f"[{','.join([GOOD] * 1_000)}]").changes) == 1_000
    assert "1001" in reason(f"[{','.join([GOOD] * 1_001)}]")
    item = said(state={"t": "x" * 60_000})
    full = "[" + ",".join([item] * 17)
    padded = full + " " * (1_048_576 - len(full) - 1) + "]"
    assert len(decoded(padded).changes) == 17
    assert "1048577 bytes" in reason(full + " " * (1_048_576 - len(full)) + "]")


def test_each_item_has_64_kib_at_most() -> None:
    message = decoded(f"[{GOOD},{said(state={'t': 'x' * 65_536})}]")
    assert [change.device for change in message.changes] == ["pillow"]
    assert "65536" in message.refusals[0].reason


# A default device


def test_a_source_may_have_a_default_device() -> None:
    assert one('{"mood":"happy"}', "pillow") == one(GOOD)
    assert one('{"state":{"mood":"happy"}}', "pillow") == one(GOOD)
    assert one('{"device":"chair","state":{}}', "pillow").device == "chair"
    assert one("{}", "pillow").state == {}
    # a field may be called state: many plugs and lamps say so
    assert one('{"state":"on","power":5}', "plug").state == {"state": "on", "power": 5}
    assert [
        change.state for change in decoded('[{"a":1},{"state":{"b":2}}]', "pillow").changes
    ] == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ('{"device":null,"state":{}}', "must be text"),
        ('{"device":"chair","mood":"happy"}', "is not a member"),
        ('{"state":{},"mood":"happy"}', "is not a member"),
        ("21.5", "A message is a JSON object"),
    ],
)
def test_a_default_device_is_no_excuse(body: str, sentence: str) -> None:
    assert sentence in reason(body, "pillow")


def test_the_default_device_is_checked_at_once() -> None:
    with pytest.raises(BadSetting, match="must be the name of a device"):
        open_decoder({"default": "no such name"})


@given(
    st.binary(max_size=80)
    | st.text(max_size=40).map(lambda text: text.encode(errors="surrogatepass"))
)
def test_a_decoder_never_raises(body: bytes) -> None:
    for default in (None, "pillow"):
        message = decoded(body, default)
        assert len(message.changes) + len(message.refusals) >= 1


@pytest.mark.parametrize(
    "body",
    [
        GOOD,
        '{"state":{},"device":"floor2/pillow"}',
        '{"device":"pillow","state":{"a":{"b":null},"c":[1,2.5,"x"]}}',
        '{"device":"pillow","state":5}',
        '{"device":"","state":{}}',
        '{"device":"floor2//pillow","state":{}}',
        '{"device":5,"state":{}}',
        '{"device":null,"state":{}}',
        '{"device":["pillow"],"state":{}}',
        '{"device":"pillow","state":"{}"}',
        '{"device":"pillow","mood":{}}',
        '{"state":{},"mood":{}}',
    ],
)
@pytest.mark.parametrize("foreign", [False, True])
def test_the_short_way_of_a_bare_message_says_the_same(body: str, foreign: bool) -> None:
    # given a decoder, and one that takes the way of all messages
    short, long = Decoder(foreign=foreign), Decoder(foreign=foreign)
    long._has_no_options = False
    # when both read a message, also a second time
    delivery = Delivery("m1", body.encode(), START)
    said = [decode(delivery) for decode in (short, long, short)]
    # then they say the same of it
    assert said[0] == said[1] == said[2]

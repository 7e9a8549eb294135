"""The options of a source's URL: what they mean, and the sentence for each bad one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from statecast.decoders import open_decoder
from statecast.decoders.options import CHECKS, DecodeOptions, from_options, required
from statecast.decoders.pointers import MISSING
from statecast.errors import BadSetting, Malformed
from statecast.model import Change, Delivery

SAID = {
    "who": "pillow",
    "number": 17,
    "none": None,
    "empty": "",
    "yes": True,
    "state": {"mood": "happy"},
}


def test_without_options_the_documented_places_count() -> None:
    reading = from_options({})
    assert reading == DecodeOptions() and not reading.has_pointers
    assert reading.device_of(SAID, "/chairs/1") == "chairs/1"
    assert reading.state_of(SAID, {"on": True}) == {"on": True}
    assert reading.time_of(SAID, "2026-01-31T12:00:00Z") == (1_769_860_800_000, ())
    assert reading.sequence_of(SAID, "ff") == 255
    assert reading.id_of(SAID, "e1") == "e1"


def test_an_option_wins_over_them() -> None:
    said = SAID | {"at": "2026-01-31T12:00:00Z", "count": 7, "key": "k1"}
    reading = from_options(
        {
            "device": "/who",
            "state": "/state",
            "time": "/at",
            "sequence": "/count",
            "id": "/key",
            "prefix": "floor2/",
        }
    )
    assert reading.has_pointers
    change = reading.change(
        said,
        reading.device_of(said, "other"),
        reading.state_of(said, {}),
        time="x",
        sequence="y",
        event_id="z",
    )
    assert change == Change("floor2/pillow", "merge", {"mood": "happy"}, 1_769_860_800_000, 7, "k1")


@pytest.mark.parametrize(
    ("options", "named", "last", "device"),
    [
        ({}, "a", "b", "a"),
        ({}, None, "b", "b"),
        ({}, "", "b", "b"),
        ({}, 17, MISSING, "17"),
        ({"default": "d"}, "a", "b", "a"),
        ({"default": "d"}, MISSING, "b", "d"),
        ({"default": "d", "prefix": "p/"}, MISSING, "b", "p/d"),
        ({"device": "/number"}, "a", "b", "17"),
        ({"device": "/none", "default": "d"}, "a", "b", "d"),
        ({"device": "/nowhere", "default": "d"}, "a", "b", "d"),
    ],
)
def test_which_device_is_meant(options: dict[str, str], named: Any, last: Any, device: str) -> None:
    assert from_options(options).device_of(SAID, named, last) == device


@pytest.mark.parametrize(
    ("options", "named", "sentence"),
    [
        ({}, MISSING, "It names no device; the options device= or default="),
        ({}, None, "It names no device"),
        ({}, {}, "must be text or a whole number; here it is an object"),
        ({}, 1.5, "here it is a number"),
        ({"device": "/yes"}, "a", "here it is true or false"),
        ({"device": "/nowhere"}, "a", "there is nothing at /nowhere"),
        ({"device": "/state"}, "a", "here it is an object"),
    ],
)
def test_a_device_that_cannot_be_told_is_not_guessed(
    options: dict[str, str], named: Any, sentence: str
) -> None:
    with pytest.raises(Malformed) as refused:
        from_options(options).device_of(SAID, named)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("options", "found", "sentence"),
    [
        ({}, MISSING, "its data is missing"),
        ({}, None, "its data is null. The option state="),
        ({}, "text", "its data is a text"),
        ({"state": "/nowhere"}, {}, "what lies at /nowhere is missing"),
        ({"state": "/number"}, {}, "what lies at /number is a number"),
    ],
)
def test_a_state_is_an_object(options: dict[str, str], found: Any, sentence: str) -> None:
    with pytest.raises(Malformed) as refused:
        from_options(options).state_of(SAID, found)
    assert sentence in str(refused.value)


def test_the_whole_message_may_be_the_state() -> None:
    assert from_options({"state": ""}).state_of(SAID, 5) is SAID


def test_a_time_is_text_or_not_there() -> None:
    nothing = (None, ())
    assert DecodeOptions().time_of(SAID, MISSING) == nothing
    assert DecodeOptions().time_of(SAID, None) == nothing
    assert from_options({"time": "/nowhere"}).time_of(SAID, "2026-01-31T12:00:00Z") == nothing
    with pytest.raises(Malformed, match="must be text"):
        from_options({"time": "/number"}).time_of(SAID)
    with pytest.raises(Malformed, match="is not a time"):
        DecodeOptions().time_of(SAID, "noon")


def test_a_sequence_that_only_breaks_ties_may_be_unreadable_one_that_is_the_order_may_not() -> None:
    assert DecodeOptions().sequence_of(SAID, "v1.2") == 0
    assert DecodeOptions().sequence_of(SAID) == 0
    assert from_options({"sequence": "/nowhere"}).sequence_of(SAID, 3) == 0
    for options in ({"order": "sequence"}, {"sequence": "/who"}):
        with pytest.raises(Malformed, match="sequence must be"):
            from_options(options).sequence_of(SAID, "v1.2")
    with pytest.raises(Malformed, match="brings no sequence"):
        from_options({"order": "sequence"}).sequence_of(SAID)
    change = from_options({"order": "sequence"}).change(SAID, "pillow", {}, sequence=3)
    assert change.by_sequence and change.sequence == 3


def test_a_long_id_counts_by_its_digest() -> None:
    assert DecodeOptions().id_of(SAID, None) is None
    assert DecodeOptions().id_of(SAID, "i" * 256) == "i" * 256
    one, other = (DecodeOptions().id_of(SAID, "i" * 256 + end) for end in "ab")
    assert one != other and one is not None and len(one) == 64
    assert from_options({"id": "/number"}).id_of(SAID, "e1") == "17"
    assert from_options({"id": "/nowhere"}).id_of(SAID, "e1") is None


def test_a_plain_message_says_everything_itself() -> None:
    change = Change("pillow", "merge", {}, sequence=3)
    sequenced = {"device": "pillow", "state": {}, "sequence": 3}
    assert DecodeOptions().plain(change, sequenced) is change
    assert from_options({"prefix": "a/"}).plain(change, sequenced).device == "a/pillow"
    assert from_options({"order": "sequence"}).plain(change, sequenced).by_sequence
    with pytest.raises(Malformed, match="brings no sequence"):
        from_options({"order": "sequence"}).plain(change, {"device": "pillow", "state": {}})
    with pytest.raises(Malformed, match="at most 128"):
        from_options({"prefix": "a" * 100}).plain(Change("b" * 100, "merge", {}), {})


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("device", "subject", "must be a JSON pointer"),
        ("device", "", "must point to a member"),
        ("id", "", "must point to a member"),
        ("sequence", "", "must point to a member"),
        ("time", "", "must be optional, a JSON pointer like /data/time, or both"),
        ("time", "optional:", "must be optional, a JSON pointer like /data/time, or both"),
        ("time", "maybe", "must be optional, a JSON pointer like /data/time, or both"),
        ("time", "optional:/a~b", "must be a JSON pointer"),
        ("state", "/a~b", "must be a JSON pointer"),
        ("default", "a b", "must be the name of a device"),
        ("default", "", "must be the name of a device"),
        ("prefix", "a b/", "must be the beginning of a device's name"),
        ("prefix", "/", "must be the beginning of a device's name"),
        ("order", "arrival", "must be time or sequence"),
    ],
)
def test_a_bad_option_is_told_with_its_source(option: str, value: str, sentence: str) -> None:
    with pytest.raises(BadSetting) as bad:
        from_options({option: value}, "azure-queue:pillow?secret=1")
    assert str(bad.value).startswith(
        f"The option {option!r} of the source 'azure-queue:pillow' {sentence}"
    )
    assert "secret" not in str(bad.value)


def test_every_option_sets_its_own_field() -> None:
    assert {name for name, _ in CHECKS.values()} == set(DecodeOptions.__dataclass_fields__)
    assert from_options({"order": "time", "prefix": ""}) == DecodeOptions()


def test_a_required_member_is_text() -> None:
    assert required({"id": "e1"}, "id", "a CloudEvent") == "e1"
    values: tuple[Any, ...] = (None, "", 5, {})
    for value in values:
        with pytest.raises(Malformed, match="“id” of a CloudEvent must be a text"):
            required({"id": value}, "id", "a CloudEvent")


# No option without an effect

MESSAGES: dict[str, Any] = {
    "plain": {"device": "d", "state": {"x": {"y": 1}, "n": 7, "k": "key", "at": 1_769_860_800}},
    "a state": {"x": {"y": 1}, "n": 7, "k": "key", "at": 1_769_860_800},
    "of your own": {"who": "d", "x": {"y": 1}, "n": 7, "k": "key", "at": 1_769_860_800},
    "an event": {
        "id": "e1",
        "eventType": "t",
        "eventTime": "2026-01-31T12:00:00Z",
        "subject": "d",
        "data": {"x": {"y": 1}, "n": 7, "k": "key", "at": 1_769_860_800},
    },
}
BESIDE: dict[str, dict[str, str]] = {"a state": {"default": "d"}, "of your own": {"device": "/who"}}
BASE = {"plain": "/state", "a state": "", "of your own": "", "an event": "/data"}
EFFECTS: list[tuple[str, str, dict[str, str], str, Any]] = [
    ("id", "/k", {}, "event_id", "key"),
    ("sequence", "/n", {}, "sequence", 7),
    ("time", "/at", {"time_format": "epoch"}, "time", 1_769_860_800_000),
    ("order", "sequence", {"sequence": "/n"}, "by_sequence", True),
    ("prefix", "hub/", {}, "device", "hub/d"),
]


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize(("option", "value", "others", "field", "expected"), EFFECTS)
@pytest.mark.parametrize("url", ["azure-queue:q", "embedded:queue"])
def test_every_option_has_its_effect_on_every_kind_of_message(
    kind: str,
    option: str,
    value: str,
    others: dict[str, str],
    field: str,
    expected: Any,
    url: str,
) -> None:
    # given an option, with pointers to where the values are in this kind of message
    options = {option: value} | others
    options = {
        name: BASE[kind] + text if text.startswith("/") else text for name, text in options.items()
    }
    # when a message of this kind is read
    body = json.dumps(MESSAGES[kind]).encode()
    message = open_decoder(options | BESIDE.get(kind, {}), url)(Delivery("m1", body, 0))
    # then the change says what the option says
    (change,) = message.changes
    assert getattr(change, field) == expected


# Members of other programs

OTHERS: list[tuple[str, Any, dict[str, str], str, Any]] = [
    ("Zigbee2MQTT with device information", {"battery": 100, "device": {"friendlyName": "Door"}},
     {"default": "door"}, "door", ...),
    ("the same by pointer", {"battery": 100, "device": {"friendlyName": "Door"}},
     {"device": "/device/friendlyName"}, "Door", ...),
    ("plain members alone", {"device": {"id": "x"}, "state": {"on": True}},
     {"device": "/device/id", "state": "/state"}, "x", {"on": True}),
    ("a list of devices", {"on": True, "device": ["a"]}, {"default": "d"}, "d", ...),
    ("true", {"on": True, "device": True}, {"default": "d"}, "d", ...),
    ("a state that is text", {"state": "ON", "device": {}}, {"default": "d"}, "d", ...),
    ("a state that begins like JSON", {"state": "{on}"}, {"default": "d"}, "d", ...),
    ("a state that is JSON as text", {"state": '{"on":true}'}, {"default": "d"}, "d", {"on": True}),
    ("a state beside a foreign device", {"state": {"on": True}, "device": {"a": 1}},
     {"default": "d"}, "d", {"on": True}),
    ("members with our names in a state", {"time": 5, "id": 7, "by": "x", "sequence": "v1"},
     {"default": "d"}, "d", ...),
]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "options", "device", "state"),
    [row[1:] for row in OTHERS],
    ids=[row[0] for row in OTHERS],
)
def test_members_of_other_programs_are_not_taken_for_ours(
    said: Any, options: dict[str, str], device: str, state: Any
) -> None:
    message = open_decoder(options, "azure-queue:q")(Delivery("m1", json.dumps(said).encode(), 0))
    assert not message.refusals, message.refusals
    (change,) = message.changes
    assert (change.device, change.state) == (device, said if state is ... else state)


@pytest.mark.parametrize("url", ["azure-queue:q", "embedded:queue"])
def test_a_foreign_device_that_nothing_names_is_refused_with_the_way_out(url: str) -> None:
    said = {"battery": 100, "device": {"friendlyName": "Door"}}
    (refusal,) = open_decoder({}, url)(Delivery("m1", json.dumps(said).encode(), 0)).refusals
    assert "“device” is an object" in refusal.reason and "device=/device/name" in refusal.reason


# The devices of a source


PLAIN = {"device": "pillow", "state": {"n": 1}}
LAMP = {"device": "lamp", "state": {"on": True}}
GRID = {
    "id": "1",
    "eventType": "x",
    "eventTime": "2026-01-31T12:00:00Z",
    "subject": "floor2/chair",
    "data": {"n": 1},
    "dataVersion": "1",
}
ANSWER = {"device": "lamp", "command": "c1", "outcome": "done"}


@pytest.mark.parametrize(
    ("devices", "said", "applied", "refused"),
    [
        ("pillow", PLAIN, ["pillow"], []),
        ("pillow", LAMP, [], ["lamp"]),
        ("pillow,lamp", LAMP, ["lamp"], []),
        (" pillow , lamp ,", LAMP, ["lamp"], []),
        ("*", LAMP, ["lamp"], []),
        ("floor2/*", GRID, ["floor2/chair"], []),
        ("floor2/*", GRID | {"subject": "floor22/chair"}, [], ["floor22/chair"]),
        ("floor2/*", GRID | {"subject": "floor2"}, [], ["floor2"]),
        ("pillow", [PLAIN, LAMP, PLAIN], ["pillow", "pillow"], ["lamp"]),
        ("pillow", LAMP | {"delete": True, "state": {}}, [], ["lamp"]),
        ("pillow", ANSWER, [], ["lamp"]),
        ("lamp", ANSWER, ["lamp"], []),
    ],
)
def test_the_writers_of_a_queue_are_trusted_for_the_devices_of_its_source(
    devices: str, said: Any, applied: list[str], refused: list[str]
) -> None:
    if isinstance(said, dict) and said.get("delete"):
        said = {name: value for name, value in said.items() if name != "state"}
    decode = open_decoder({"devices": devices}, "embedded:queue?devices")
    found = decode(Delivery("1", json.dumps(said).encode(), 0))
    assert [one.device for one in found.changes] == applied
    assert [one.device for one in found.refusals] == refused
    for one in found.refusals:
        assert f"Its source may not speak for the device “{one.device}”" in one.reason
    # and what would be refused then is refused before it is sent
    if refused and isinstance(said, dict):
        with pytest.raises(Malformed, match="may not speak for"):
            decode.read(json.dumps(said).encode())


@pytest.mark.parametrize("devices", ["", " , ", "pil*", "a//b", "*/a", "/"])
def test_wrong_devices_of_a_source_are_a_sentence(devices: str) -> None:
    with pytest.raises(BadSetting, match="The option 'devices' of the source 'embedded:queue' "):
        open_decoder({"devices": devices}, "embedded:queue?devices")


def test_the_prefix_is_a_part_of_the_name_that_is_compared() -> None:
    decode = open_decoder({"devices": "floor2/*", "prefix": "floor2/"}, "embedded:queue")
    found = decode(Delivery("1", json.dumps(PLAIN).encode(), 0))
    assert [one.device for one in found.changes] == ["floor2/pillow"]

"""The times that devices send: one table of what is read as which time, and what is refused."""

from __future__ import annotations

import json
import zoneinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statecast.decoders import open_decoder, time_formats
from statecast.decoders.time_formats import NUMBERS, RFC_3339, parse
from statecast.errors import BadSetting, Malformed
from statecast.model import Change, Delivery
from statecast.timestamps import iso

NOON = "2026-01-31T12:00:00.000Z"

READ: list[tuple[str, str, Any, str]] = [
    # RFC 3339 and its usual variants, under every format
    ("RFC 3339", "rfc3339", "2026-01-31T12:00:00Z", NOON),
    ("RFC 3339 with an offset", "rfc3339", "2026-01-31T13:00:00+01:00", NOON),
    ("small t and z", "rfc3339", "2026-01-31t12:00:00z", NOON),
    ("a blank for T: rtl_433 with utc", "rfc3339", "2026-01-31 12:00:00Z", NOON),
    (
        "Python's str(datetime)",
        "rfc3339",
        "2026-01-31 12:00:00.100000+00:00",
        "2026-01-31T12:00:00.100Z",
    ),
    ("one digit", "rfc3339", "2026-01-31 12:00:00.1+00:00", "2026-01-31T12:00:00.100Z"),
    ("seven digits of .NET", "rfc3339", "2026-01-31T12:00:00.1234567Z", "2026-01-31T12:00:00.123Z"),
    ("nine digits of Go", "rfc3339", "2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.123Z"),
    (
        "a comma, as ISO 8601 allows",
        "rfc3339",
        "2026-01-31T12:00:00,5Z",
        "2026-01-31T12:00:00.500Z",
    ),
    ("an offset without a colon: strftime %z", "rfc3339", "2026-01-31T12:00:00+0000", NOON),
    ("an offset of hours: PostgreSQL", "rfc3339", "2026-01-31 13:00:00+01", NOON),
    ("a blank before the offset: Ruby", "rfc3339", "2026-01-31 06:30:00 -0530", NOON),
    ("the word UTC: Ruby", "rfc3339", "2026-01-31 12:00:00 UTC", NOON),
    ("no seconds", "rfc3339", "2026-01-31T12:00Z", NOON),
    ("a leap second", "rfc3339", "2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
    (
        "a leap second with a zone",
        "rfc3339",
        "2017-01-01T00:59:60+01:00",
        "2017-01-01T00:00:00.000Z",
    ),
    ("RFC 3339 under epoch", "epoch", "2026-01-31T12:00:00Z", NOON),
    ("RFC 3339 under epoch_ms", "epoch_ms", "2026-01-31T12:00:00Z", NOON),
    ("RFC 3339 under local", "local:Europe/Berlin", "2026-01-31T12:00:00Z", NOON),
    # numbers
    ("OwnTracks, Shelly Gen1: seconds", "epoch", 1769860800, NOON),
    ("Shelly Gen2: seconds with a fraction", "epoch", 1764088800.02, "2025-11-25T16:40:00.020Z"),
    ("a fraction that floats do not hold", "epoch", 1764088800.29, "2025-11-25T16:40:00.290Z"),
    ("seconds as text", "epoch", "1769860800", NOON),
    ("seconds as text with a fraction", "epoch", "1769860800.5", "2026-01-31T12:00:00.500Z"),
    ("seconds with space", "epoch", " 1769860800\n", NOON),
    ("Zigbee2MQTT: ms", "epoch_ms", 1769860800000, NOON),
    ("ms as text", "epoch_ms", "1769860800000", NOON),
    ("ms with a fraction", "epoch_ms", 1769860800000.9, NOON),
    ("a clock that was never set", "epoch", 12, "1970-01-01T00:00:12.000Z"),
    ("zero", "epoch", 0, "1970-01-01T00:00:00.000Z"),
    ("before 1970", "epoch", -1, "1969-12-31T23:59:59.000Z"),
    # the wall clock of a zone
    ("Tasmota in winter", "local:Europe/Berlin", "2026-01-31T13:00:00", NOON),
    ("Tasmota in summer", "local:Europe/Berlin", "2026-07-31T14:00:00", "2026-07-31T12:00:00.000Z"),
    ("rtl_433", "local:America/New_York", "2026-01-31 07:00:00", NOON),
    ("a fraction", "local:Europe/Berlin", "2026-01-31 13:00:00.25", "2026-01-31T12:00:00.250Z"),
    ("a zone with half hours", "local:Asia/Kolkata", "2026-01-31T17:30:00", NOON),
    ("UTC", "local:UTC", "2026-01-31T12:00:00", NOON),
    (
        "a leap second of the wall",
        "local:Europe/Berlin",
        "2017-01-01 00:59:60",
        "2017-01-01T00:00:00.000Z",
    ),
    ("before the gap", "local:Europe/Berlin", "2026-03-29T01:59:59", "2026-03-29T00:59:59.000Z"),
    ("in the gap", "local:Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:30:00.000Z"),
    ("after the gap", "local:Europe/Berlin", "2026-03-29T03:00:00", "2026-03-29T01:00:00.000Z"),
    (
        "before the overlap",
        "local:Europe/Berlin",
        "2026-10-25T01:59:59",
        "2026-10-24T23:59:59.000Z",
    ),
    ("after the overlap", "local:Europe/Berlin", "2026-10-25T03:00:00", "2026-10-25T02:00:00.000Z"),
]

REFUSED: list[tuple[str, str, Any, str]] = [
    ("a number without a format", "rfc3339", 1769860800, "time_format=epoch (seconds) or epoch_ms"),
    ("a text of digits without a format", "rfc3339", "1769860800", "is not a time"),
    (
        "a wall clock without a zone",
        "rfc3339",
        "2026-01-31T12:00:00",
        "time_format=local:Europe/Berlin",
    ),
    ("a wall clock under epoch", "epoch", "2026-01-31 12:00:00", "does not say in which zone"),
    ("a number under local", "local:UTC", 1769860800, "time_format=epoch (seconds)"),
    ("ms under epoch", "epoch", 1769860800000, "Milliseconds are time_format=epoch_ms"),
    ("ms as text under epoch", "epoch", "1769860800000", "Milliseconds are time_format=epoch_ms"),
    ("ns under epoch_ms", "epoch_ms", "1769860800000000000", "is not a time in milliseconds"),
    ("a huge number", "epoch", 1e300, "is not a time in seconds"),
    ("a word", "epoch", "now", "is not a time"),
    ("an empty text with space", "epoch", " ", "is not a time"),
    ("a number with a unit", "epoch", "1769860800s", "is not a time"),
    ("hexadecimal", "epoch", "0x69", "is not a time"),
    ("a date", "local:UTC", "2026-01-31", "is not a time"),
    ("no such day", "local:UTC", "2026-02-30T12:00:00", "is not a time"),
    ("the year 1 east of Greenwich", "local:Asia/Tokyo", "0001-01-01T00:00:00", "is not a time"),
    ("true", "epoch", True, "it is true or false"),
    ("an object", "epoch_ms", {"seconds": 5}, "it is an object"),
    ("an array", "rfc3339", [2026, 1, 31], "it is an array"),
    ("German", "local:Europe/Berlin", "31.01.2026 12:00", "is not a time"),
    ("American", "local:America/New_York", "01/31/2026 12:00:00", "is not a time"),
]


@pytest.mark.parametrize(
    ("form", "value", "time"), [row[1:] for row in READ], ids=[row[0] for row in READ]
)
def test_a_time_is_read(form: str, value: Any, time: str) -> None:
    assert iso(parse(form).read(value)) == time


@pytest.mark.parametrize(
    ("form", "value", "sentence"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_time_that_does_not_fit_is_refused(form: str, value: Any, sentence: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse(form).read(value)
    assert sentence in str(refused.value)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 250


@pytest.mark.parametrize(
    ("arrival", "time"),
    [
        ("2026-10-25T00:30:02Z", "2026-10-25T00:30:00.000Z"),
        ("2026-10-25T01:30:02Z", "2026-10-25T01:30:00.000Z"),
        ("2026-10-25T01:29:40Z", "2026-10-25T01:30:00.000Z"),  # a clock that is a little ahead
        ("2026-10-25T00:55:00Z", "2026-10-25T00:30:00.000Z"),  # delivered late
        ("2026-10-25T09:00:00Z", "2026-10-25T01:30:00.000Z"),  # very late: the second one
        ("2026-10-24T23:00:00Z", "2026-10-25T00:30:00.000Z"),  # a clock far ahead: the first one
    ],
)
def test_in_the_hour_that_occurs_twice_the_one_near_the_arrival_counts(
    arrival: str, time: str
) -> None:
    form = parse("local:Europe/Berlin").at(RFC_3339.read(arrival))
    assert iso(form.read("2026-10-25T02:30:00")) == time
    # and the clock that goes on through both hours never goes back
    assert iso(parse("local:Europe/Berlin").read("2026-10-25T02:30:00")) == (
        "2026-10-25T00:30:00.000Z"
    )


def test_the_clock_of_a_zone_never_goes_back_at_a_change() -> None:
    """What a device with a right clock says every minute, around both changes of the year."""
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    form = parse("local:Europe/Berlin")
    import datetime

    for day in ("2026-03-29T00:00:00Z", "2026-10-24T22:00:00Z"):
        start = RFC_3339.read(day)
        for minute in range(300):
            true = start + minute * 60_000
            moment = datetime.datetime.fromtimestamp(true / 1000, zone)
            wall = moment.replace(tzinfo=None).isoformat()
            assert form.at(true + 1_500).read(wall) == true


@given(st.text(max_size=30) | st.integers() | st.floats() | st.booleans() | st.none())
def test_any_value_is_a_time_or_refused(value: Any) -> None:
    for form in ("rfc3339", "epoch", "epoch_ms", "local:Europe/Berlin", "local:UTC"):
        try:
            assert -(10**15) < parse(form).read(value) < 10**15
        except Malformed as error:
            assert str(error).isprintable()


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("", "must be rfc3339, epoch, epoch_ms or local:Europe/Berlin"),
        ("unix", "must be rfc3339, epoch"),
        ("epoch_us", "must be rfc3339, epoch"),
        ("local", "must be rfc3339, epoch"),
        ("local:", "must be rfc3339, epoch"),
        ("local:Berlin", "there is no zone “Berlin”"),
        ("local:Europe", "there is no zone “Europe”"),
        ("local:../../etc/passwd", "there is no zone"),
        ("local:CEST", "there is no zone “CEST”"),
    ],
)
def test_a_format_that_does_not_exist_is_an_error_at_start(value: str, sentence: str) -> None:
    with pytest.raises(BadSetting) as bad:
        open_decoder({"time_format": value}, "azure-queue:lamps?sig=1")
    start = "The option 'time_format' of the source 'azure-queue:lamps' "
    assert str(bad.value).startswith(start) and sentence in str(bad.value)


def test_a_system_without_zones_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a container without the table of zones
    monkeypatch.setattr(zoneinfo, "TZPATH", ())
    monkeypatch.setattr(zoneinfo, "available_timezones", set)

    def no_zone(name: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", no_zone)
    # then the sentence names the package, and UTC works all the same
    with pytest.raises(ValueError, match="install the package tzdata"):
        time_formats.zone_of("Europe/Berlin")
    assert parse("local:UTC").read("2026-01-31T12:00:00") == RFC_3339.read(NOON)


def test_the_formats_are_few() -> None:
    assert {"rfc3339", *NUMBERS} == {"rfc3339", "epoch", "epoch_ms"}


# In a source's URL: which messages they are for, and times that may be unreadable


def read(said: Any, url: str = "azure-queue:q", sent_at: int = 0, **options: str) -> Change:
    message = open_decoder(options, url)(Delivery("m1", json.dumps(said).encode(), sent_at))
    assert message.refusals == ()
    (change,) = message.changes
    return change


def reason(said: Any, url: str = "azure-queue:q", **options: str) -> str:
    message = open_decoder(options, url)(Delivery("m1", json.dumps(said).encode(), 0))
    (refusal,) = message.refusals
    return refusal.reason


SECONDS, MS = 1_769_860_800, 1_769_860_800_000
EVENT = {"id": "e", "eventType": "t", "subject": "d", "data": {"ts": SECONDS}}
CLOUD = {"specversion": "1.0", "id": "e", "source": "d", "type": "t", "data": {}}


@pytest.mark.parametrize("url", ["azure-queue:q", "embedded:queue"])
@pytest.mark.parametrize(
    ("said", "options"),
    [
        # a plain message: its own time
        ({"device": "d", "state": {}, "time": SECONDS}, {"time_format": "epoch"}),
        ({"device": "d", "state": {}, "time": MS}, {"time_format": "epoch_ms"}),
        (
            {"device": "d", "state": {}, "time": "2026-01-31 13:00"},
            {"time_format": "local:Europe/Berlin"},
        ),
        # a plain message: a place in its state
        ({"device": "d", "state": {"ts": SECONDS}}, {"time_format": "epoch", "time": "/state/ts"}),
        # which does not hide its own
        ({"device": "d", "state": {}, "time": NOON}, {"time_format": "epoch", "time": "/state/ts"}),
        # a message that is a state
        ({"ts": SECONDS, "on": True}, {"time_format": "epoch", "time": "/ts", "default": "d"}),
        ({"at": NOON}, {"time": "/at", "default": "d"}),
        ({"state": {"on": True, "at": NOON}}, {"time": "/state/at", "default": "d"}),
        # a message of your own
        ({"d": "d", "ts": SECONDS}, {"time_format": "epoch", "time": "/ts", "device": "/d"}),
        # events: their time is RFC 3339 under every format; a place counts instead of it
        (EVENT | {"eventTime": NOON}, {"time_format": "epoch"}),
        (EVENT | {"eventTime": "2026-01-31T12:00:00"}, {"time_format": "local:UTC"}),
        (
            EVENT | {"eventTime": "2020-01-01T00:00:00Z"},
            {"time_format": "epoch", "time": "/data/ts"},
        ),
        (CLOUD | {"time": "2026-01-31 13:00:00"}, {"time_format": "local:Europe/Berlin"}),
    ],
)
def test_the_options_are_for_every_message(
    said: dict[str, Any], options: dict[str, str], url: str
) -> None:
    change = read(said, url, **options)
    assert (change.device, change.time) == ("d", MS)


def test_the_arrival_decides_in_the_hour_that_occurs_twice() -> None:
    said = {"device": "d", "state": {}, "time": "2026-10-25T02:30:00"}
    for arrival in ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"):
        sent_at = RFC_3339.read(arrival)
        assert read(said, sent_at=sent_at, time_format="local:Europe/Berlin").time == sent_at


BROKEN: list[Any] = ["yesterday", 5, True, {}, [], "2026-01-31T12:00:00", "2026-13-01T00:00:00Z"]


@pytest.mark.parametrize("value", BROKEN, ids=repr)
@pytest.mark.parametrize(
    ("message", "options"),
    [
        (lambda time: {"device": "d", "state": {"on": True}, "time": time}, {}),
        (lambda time: {"on": True, "at": time}, {"default": "d", "time": "/at"}),
        (lambda time: {"d": "d", "at": time}, {"device": "/d", "time": "/at"}),
        (lambda time: EVENT | {"eventTime": time}, {}),
        (lambda time: CLOUD | {"source": "d", "time": time}, {}),
    ],
)
def test_a_time_that_cannot_be_read_may_be_optional(
    message: Any, options: dict[str, str], value: Any
) -> None:
    # given a time that cannot be read, then the message is refused
    assert reason(message(value), **options)
    # unless the source says that its times are optional; then it is told
    place = options.get("time")
    options = options | {"time": f"optional:{place}" if place else "optional"}
    change = read(message(value), **options)
    assert (change.device, change.time) == ("d", None)
    (sentence,) = change.left_out
    assert sentence.startswith("Its time was left out, and the time of arrival counts. ")
    # and a good one counts as always
    good = read(message(NOON), **options)
    assert (good.time, good.left_out) == (MS, ())


def test_a_time_that_is_not_there_is_no_mistake() -> None:
    for said in ({"device": "d", "state": {}}, {"device": "d", "state": {}, "time": None}):
        for options in ({}, {"time": "optional"}, {"time_format": "epoch"}):
            assert read(said, **options) == Change("d", "merge", {})
    # Shelly sends null before its clock is set
    said = {"src": "d", "params": {"ts": None}}
    assert read(said, device="/src", time="/params/ts", time_format="epoch").time is None

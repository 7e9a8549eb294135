"""CloudEvents 1.0 in structured JSON, as the specification writes them and as people get them
wrong.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest

from statecast.decoders.cloud_events import is_cloud_event, read
from statecast.decoders.options import DecodeOptions, from_options
from statecast.errors import Refused
from statecast.model import Change


def event(**members: Any) -> dict[str, Any]:
    said = {
        "specversion": "1.0",
        "type": "com.example.mood",
        "source": "/bedroom",
        "id": "A234-1234-1234",
        "time": "2026-01-31T12:00:00Z",
        "subject": "pillow",
        "data": {"mood": "happy"},
    }
    return {name: value for name, value in (said | members).items() if value is not ...}


def one(said: dict[str, Any], **options: str) -> Change:
    assert is_cloud_event(said)
    (change,) = read(said, from_options(options))
    return change


def test_it_is_recognised_by_its_required_members() -> None:
    assert is_cloud_event(event())
    for member in ("specversion", "id", "source", "type"):
        assert not is_cloud_event(event(**{member: ...}))


def test_what_it_says() -> None:
    expected = Change(
        "pillow", "merge", {"mood": "happy"}, 1_769_860_800_000, 0, "/bedroom A234-1234-1234"
    )
    assert one(event()) == expected
    assert (
        one(
            event(
                datacontenttype="application/json",
                dataschema="https://example.com/s",
                traceparent="x",
            )
        )
        == expected
    )
    assert one(event(time=...)).time is None
    assert one(event(sequence="0000000010", sequencetype="Integer")).sequence == 16, (
        "read as hexadecimal, in order"
    )


def test_without_a_subject_its_source_is_the_device() -> None:
    for subject in (..., None, ""):
        assert one(event(subject=subject)).device == "bedroom"
        assert one(event(subject=subject), default="chair").device == "chair"
    assert one(event(subject=..., source="urn:uuid:6e8bc430")).device == "urn:uuid:6e8bc430"


def test_the_same_id_of_another_source_is_another_event() -> None:
    assert one(event()).event_id != one(event(source="/kitchen")).event_id
    assert one(event()).event_id == one(event(data={})).event_id


@pytest.mark.parametrize(
    "media", [..., None, "application/json", "application/vnd.x+json", "text/json; charset=utf-8"]
)
def test_data_may_be_json_in_base64(media: Any) -> None:
    written = base64.b64encode(b'{"mood":"calm"}').decode()
    said = event(data=..., data_base64=written, datacontenttype=media)
    assert one(said).state == {"mood": "calm"}
    assert one(said, state="/data", device="/data/mood").device == "calm"
    assert said["data_base64"] == written and "data" not in said, "what was said is not changed"


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"specversion": "0.3"}, "a CloudEvent of version “0.3”"),
        ({"specversion": 1.0}, "“specversion” of a CloudEvent must be a text"),
        ({"id": ""}, "“id” of a CloudEvent"),
        ({"source": None}, "“source” of a CloudEvent"),
        ({"type": {}}, "“type” of a CloudEvent"),
        ({"subject": {}}, "name of a device must be text"),
        ({"time": "noon"}, "“noon” is not a time"),
        ({"time": 5}, "time must be text"),
        ({"data": ...}, "brings no state"),
        ({"data": "happy"}, "its data is a text"),
        ({"data": [1]}, "its data is an array"),
        ({"data_base64": "e30="}, "data and data_base64 at once"),
        ({"data": ..., "data_base64": 5}, "“data_base64” must be text"),
        ({"data": ..., "data_base64": "e30=="}, "data_base64 cannot be read"),
        ({"data": ..., "data_base64": "AAEC"}, "data_base64 cannot be read"),
        (
            {"data": ..., "data_base64": "AAEC", "datacontenttype": "image/png"},
            "Its data is “image/png”",
        ),
        ({"data": ..., "data_base64": "e30=", "datacontenttype": 5}, "Its data is “5”"),
        ({"subject": "d" * 200}, "at most 128"),
    ],
)
def test_what_is_wrong_is_told(members: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        read(event(**members), DecodeOptions())
    assert sentence in str(refused.value)


def test_event_grid_about_itself_says_nothing_of_a_device() -> None:
    assert (
        read(event(type="Microsoft.EventGrid.SubscriptionValidationEvent"), DecodeOptions()) == ()
    )


def test_devices_of_iot_hub_are_read_as_such() -> None:
    change = one(
        event(
            type="Microsoft.Devices.DeviceConnected", subject="devices/d1", data={"deviceId": "d1"}
        )
    )
    assert (change.device, change.state) == ("d1", {"connectionState": "Connected"})

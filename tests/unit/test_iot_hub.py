"""Azure IoT Hub: what its devices say, what the hub says of them, and changes of their twins."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from statecast.decoders import cloud_events, event_grid
from statecast.decoders.iot_hub import is_twin, read_twin
from statecast.decoders.options import DecodeOptions, from_options
from statecast.errors import Refused
from statecast.model import Change

TIME = "2026-01-31T12:00:00Z"
NOON = 1_769_860_800_000
NUMBER = "000000000000000001D4132452F67CE200000002000000000000000000000001"


def event(what: str, data: Any, subject: str = "devices/d1") -> dict[str, Any]:
    type_ = f"Microsoft.Devices.{what}"
    return {
        "id": "e1",
        "topic": "/HUB",
        "subject": subject,
        "eventType": type_,
        "eventTime": TIME,
        "data": data,
    }


def one(said: dict[str, Any], **options: str) -> Change:
    """What an event says, in either schema."""
    (change,) = event_grid.read(said, from_options(options))
    other = {
        "specversion": "1.0",
        "id": said["id"],
        "source": "/HUB",
        "type": said["eventType"],
        "time": said["eventTime"],
        "subject": said["subject"],
        "data": said["data"],
    }
    (same,) = cloud_events.read(other, from_options(options))
    assert (same.device, same.kind, same.state, same.by) == (
        change.device,
        change.kind,
        change.state,
        change.by,
    )
    assert (same.time, same.sequence, same.event_id) == (change.time, change.sequence, "/HUB e1")
    return change


def telemetry(body: Any, *, json_said: bool = False, module: str | None = None) -> dict[str, Any]:
    system = {
        "iothub-connection-device-id": "d1",
        "iothub-enqueuedtime": TIME,
        "iothub-message-source": "Telemetry",
    }
    if json_said:
        system |= {"iothub-content-type": "application/json", "iothub-content-encoding": "UTF-8"}
    if module:
        system["iothub-connection-module-id"] = module
    return event("DeviceTelemetry", {"body": body, "properties": {}, "systemProperties": system})


def encoded(body: str) -> str:
    return base64.b64encode(body.encode()).decode()


def test_telemetry_is_the_state() -> None:
    expected = Change("d1", "merge", {"temperature": 21.5}, NOON, 0, "e1")
    assert one(telemetry({"temperature": 21.5}, json_said=True)) == expected
    # whatever the device says of its content: as text, in Base64, with line breaks
    assert one(telemetry('{"temperature": 21.5}', json_said=True)) == expected
    assert one(telemetry(encoded('{"temperature": 21.5}'))) == expected
    assert one(telemetry(encoded('{"temperature": 21.5}'), json_said=True)) == expected
    assert one(telemetry(encoded('{"temperature": 21.5}') + "\r\n")) == expected


@pytest.mark.parametrize(
    ("place", "said", "expected"),
    [
        ("properties", "2026-01-31T09:00:00Z", NOON - 3 * 3_600_000),
        ("systemProperties", "2026-01-31 09:00:00.500Z", NOON - 3 * 3_600_000 + 500),
        ("properties", "last Monday", NOON),
        ("properties", "", NOON),
        ("properties", 1_769_850_000, NOON),
        ("properties", None, NOON),
    ],
)
def test_telemetry_happened_when_the_device_made_it(place: str, said: Any, expected: int) -> None:
    late = telemetry({"temperature": 1}, json_said=True)
    late["data"][place] = {**late["data"][place], "iothub-creation-time-utc": said}
    assert one(late).time == expected
    # and the option points elsewhere if that is wished
    assert one(late, time="/data/systemProperties/iothub-enqueuedtime").time == NOON


def test_a_pointer_looks_into_the_body_whichever_way_it_came() -> None:
    body = {"who": "lamp", "values": {"on": True}}
    for said in (telemetry(body, json_said=True), telemetry(encoded(json.dumps(body)))):
        change = one(
            said,
            state="/data/body/values",
            device="/data/systemProperties/iothub-connection-device-id",
        )
        assert (change.device, change.state) == ("d1", {"on": True})
        assert one(said, device="/data/body/who").device == "lamp"
    assert one(event("DeviceTelemetry", {"a": 1}), state="/data").state == {"a": 1}, (
        "no body, and none is made up"
    )


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (telemetry("AAEC"), "The body of its telemetry cannot be read as JSON"),
        (telemetry("hello"), "The body of its telemetry cannot be read as JSON"),
        (telemetry(encoded("21.5")), "this is a number"),
        (telemetry(encoded('{"a":NaN}')), "NaN"),
        (telemetry("e3==", json_said=True), "JSON as text that cannot be read"),
        (telemetry(None), "its data is null"),
        (event("DeviceTelemetry", {}), "brings no state"),
        (event("DeviceTelemetry", 5), "brings no state"),
        (event("DeviceConnected", 5, subject=""), "names no device"),
        (event("DeviceConnected", {"deviceId": {}}), "must be text or a whole number"),
        (
            event("DeviceCreated", {"deviceId": "d1", "twin": {"tags": 5}}),
            "“tags” of a twin must be an object",
        ),
        (event("SomethingNew", "text"), "its data is a text"),
    ],
)
def test_what_is_wrong_is_told(said: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        event_grid.read(said, DecodeOptions())
    assert sentence in str(refused.value)


def test_a_connection_is_a_state_and_only_its_beginning_a_sign_of_life() -> None:
    data = {
        "deviceConnectionStateEventInfo": {"sequenceNumber": NUMBER},
        "hubName": "hub",
        "deviceId": "d1",
    }
    connected, gone = (one(event(what, data)) for what in ("DeviceConnected", "DeviceDisconnected"))
    assert connected == Change(
        "d1", "merge", {"connectionState": "Connected"}, NOON, int(NUMBER, 16), "e1"
    )
    assert gone.state == {"connectionState": "Disconnected"}
    assert (connected.by, gone.by) == ("device", "system")
    assert one(event("DeviceConnected", data), order="sequence").by_sequence
    assert one(event("DeviceConnected", data), state="/data/body/values").state == connected.state


def test_a_module_is_not_its_device() -> None:
    data = {"deviceId": "d1", "moduleId": "camera"}
    assert one(event("DeviceConnected", data)).device == "d1/camera"
    assert one(event("DeviceConnected", data | {"moduleId": ""})).device == "d1"
    assert one(telemetry({}, json_said=True, module="camera")).device == "d1/camera"


def test_names_of_the_hub_are_mapped_and_the_subject_helps_out() -> None:
    assert one(event("DeviceConnected", {"deviceId": "d 1#"})).device == "d_x20_1_x23_"
    assert one(event("DeviceConnected", {}, subject="devices/d2")).device == "d2"
    assert one(event("DeviceConnected", {"deviceId": "d1"}), prefix="hub/").device == "hub/d1"


TWIN = {
    "deviceId": "d1",
    "etag": "AAAAAAAAAAE=",
    "status": "enabled",
    "connectionState": "Disconnected",
    "x509Thumbprint": {"primaryThumbprint": None},
    "version": 2,
    "properties": {
        "desired": {"$metadata": {"$lastUpdated": TIME}, "$version": 1},
        "reported": {"fan": "on", "$metadata": {"$lastUpdated": TIME}, "$version": 1},
    },
}


def test_a_device_that_was_created_has_what_its_twin_says() -> None:
    change = one(event("DeviceCreated", {"twin": TWIN, "hubName": "hub", "deviceId": "d1"}))
    assert change.state == {
        "status": "enabled",
        "connectionState": "Disconnected",
        "reported": {"fan": "on"},
    }
    assert (change.device, change.sequence, change.by) == ("d1", 2, "system")


def test_a_device_that_was_deleted_is_removed() -> None:
    change = one(event("DeviceDeleted", {"twin": TWIN, "hubName": "hub", "deviceId": "d1"}))
    assert change == Change("d1", "delete", {}, NOON, 2, "e1", None, "system")


def test_an_event_of_the_hub_that_is_not_known_is_an_event() -> None:
    change = one(event("SomethingNew", {"a": 1}))
    assert (change.device, change.state) == ("devices/d1", {"a": 1})


# Twins


def twin(operation: str | None = "updateTwin", **body: Any) -> dict[str, Any]:
    about = {"deviceId": "d1", "hubName": "hub", "operationTimestamp": TIME}
    return about | ({"opType": operation} if operation else {}) | body


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (twin(), True),
        (twin("replaceTwin"), True),
        (twin("createDeviceIdentity"), False),
        (twin(["updateTwin"]), False),  # type: ignore[arg-type]
        ({"version": 7, "tags": {}}, True),
        ({"version": 7, "properties": {}, "deviceId": "d1", "moduleId": "m"}, True),
        ({"version": 7}, False),
        ({"version": 7, "tags": {}, "mood": "happy"}, False),
        ({"tags": {}, "properties": {}}, False),
        ({"device": "d1", "state": {}}, False),
    ],
)
def test_a_change_of_a_twin_is_recognised_by_its_members(
    said: dict[str, Any], answer: bool
) -> None:
    assert is_twin(said) is answer


def test_a_change_of_a_twin_is_a_patch() -> None:
    desired = {"fan": None, "$metadata": {"$lastUpdated": TIME}, "$version": 6}
    (change,) = read_twin(
        twin(version=7, tags={"floor": 2}, properties={"desired": desired}), DecodeOptions()
    )
    assert change == Change(
        "d1",
        "merge",
        {"tags": {"floor": 2}, "desired": {"fan": None}},
        NOON,
        7,
        None,
        None,
        "system",
    )
    (change,) = read_twin(
        twin(version=8, moduleId="m", properties={"reported": {"fan": "on"}}), DecodeOptions()
    )
    assert (change.device, change.state, change.by) == (
        "d1/m",
        {"reported": {"fan": "on"}},
        "device",
    )
    (change,) = read_twin(twin(version=9, tags=None), from_options({"order": "sequence"}))
    assert change.state == {"tags": None} and change.by_sequence


def test_a_twin_that_is_replaced_is_cleared_at_the_same_stamp() -> None:
    said = twin(
        "replaceTwin", version=7, etag="A", status="enabled", properties={"desired": {"fan": "on"}}
    )
    cleared, change = read_twin(said | {"key": "k1"}, from_options({"id": "/key"}))
    assert cleared.state == {"tags": None, "desired": None, "reported": None}
    assert change.state == {"desired": {"fan": "on"}}
    assert (cleared.time, cleared.sequence) == (change.time, change.sequence) == (NOON, 7)
    assert (cleared.event_id, change.event_id) == ("k1 cleared", "k1"), (
        "a repetition must not clear again"
    )


def test_whose_twin_it_is_must_be_said_by_somebody() -> None:
    said = {"version": 7, "tags": {"floor": 2}}
    with pytest.raises(Refused, match="must add deviceId and opType"):
        read_twin(said, DecodeOptions())
    assert read_twin(said, from_options({"default": "thermostat"}))[0].device == "thermostat"
    assert read_twin(said, from_options({"device": "/tags/floor"}))[0].device == "2"
    with pytest.raises(Refused, match="“desired” of a twin must be an object"):
        read_twin(twin(version=1, properties={"desired": 5}), DecodeOptions())

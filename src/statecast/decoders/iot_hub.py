"""Azure IoT Hub: its devices' events through Event Grid, and changes of twins as a function forwards them.

A device is called what the hub calls it, and a module ``device/module``. Telemetry is merged into the state as it
is; what the hub knows lies beside it: ``connectionState`` and ``status``, and of the twin ``tags``, ``desired`` and
``reported``. Only telemetry, a new connection and reported properties are the device's own words; that it was
created, changed by the back end or lost its connection is no sign of its life.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from statecast import strict_json
from statecast.decoders import base64_text
from statecast.decoders.event import EventEnvelope
from statecast.decoders.event import changes as other_changes
from statecast.decoders.options import DecodeOptions
from statecast.decoders.plain import kind
from statecast.decoders.pointers import MISSING, find
from statecast.errors import Malformed
from statecast.model import Change, Speaker

EVENTS = "Microsoft.Devices."
CONNECTION = {"DeviceConnected": "Connected", "DeviceDisconnected": "Disconnected"}
SEQUENCE_NUMBER = ("data", "deviceConnectionStateEventInfo", "sequenceNumber")

OPERATIONS = ("updateTwin", "replaceTwin")
TWIN = {"version", "tags", "properties"}
"""What the body of a twin's change may have."""
ABOUT_TWIN = {
    "deviceId",
    "moduleId",
    "hubName",
    "opType",
    "operationTimestamp",
    "iothub-message-schema",
}
"""The properties of its message, which the function puts beside them."""
PARTS = ("tags", "desired", "reported")


def is_event(type_: str) -> bool:
    return type_.startswith(EVENTS)


def changes(event: EventEnvelope, reading: DecodeOptions) -> tuple[Change, ...]:
    """One event that came through Event Grid, in either schema. Raises Refused."""
    what = event.type.removeprefix(EVENTS)
    if what == "DeviceTelemetry":
        return (telemetry(event, reading),)
    if what in CONNECTION:
        by: Speaker = "device" if what == "DeviceConnected" else "system"
        return (
            about(
                event,
                reading,
                {"connectionState": CONNECTION[what]},
                find(event.payload, SEQUENCE_NUMBER),
                by,
            ),
        )
    if what == "DeviceCreated":
        return (created(event, reading),)
    if what == "DeviceDeleted":
        device = device_of(event, reading)
        version = find(event.data, ("twin", "version"))
        return (
            reading.change(
                event.payload,
                device,
                {},
                what="delete",
                time=event.time,
                sequence=version,
                event_id=event.id,
                by="system",
            ),
        )
    return other_changes(event, reading)


def telemetry(event: EventEnvelope, reading: DecodeOptions) -> Change:
    """The body is JSON where the device said so, else Base64 of what it sent."""
    properties = find(event.data, ("systemProperties",))
    body = find(event.data, ("body",))
    if type(body) is str and not says_json(properties):
        try:
            body = strict_json.decode(base64_text.from_base64(body.encode()))
        except Malformed as error:
            raise Malformed(f"The body of its telemetry cannot be read as JSON. {error}") from None
    if body is not MISSING:
        event = replace(event, payload={**event.payload, "data": {**event.data, "body": body}})
    return about(event, reading, reading.state_of(event.payload, body), MISSING, "device")


def says_json(properties: Any) -> bool:
    media, encoding = (
        find(properties, (f"iothub-content-{what}",)) for what in ("type", "encoding")
    )
    return str(media).lower() == "application/json" and str(encoding).lower() == "utf-8"


def created(event: EventEnvelope, reading: DecodeOptions) -> Change:
    twin = find(event.data, ("twin",))
    state = {
        name: twin[name]
        for name in ("status", "connectionState")
        if find(twin, (name,)) is not MISSING
    }
    state |= {name: part for name, part in parts_of(twin).items() if part}
    return about(event, reading, state, find(twin, ("version",)), "system")


def about(
    event: EventEnvelope, reading: DecodeOptions, state: dict[str, Any], sequence: Any, by: Speaker
) -> Change:
    """A change of the device that the event is about."""
    device = device_of(event, reading)
    return reading.change(
        event.payload, device, state, time=event.time, sequence=sequence, event_id=event.id, by=by
    )


def device_of(event: EventEnvelope, reading: DecodeOptions) -> str:
    """As the hub vouches for it in telemetry, as it writes it in other events, else by the subject."""
    sender = find(event.data, ("systemProperties",))
    device = find(sender, ("iothub-connection-device-id",))
    module = find(sender, ("iothub-connection-module-id",))
    if device is MISSING:
        device, module = find(event.data, ("deviceId",)), find(event.data, ("moduleId",))
    if device is MISSING and type(event.subject) is str:
        device = event.subject.removeprefix("devices/")
    return reading.device_of(event.payload, joined(device, module))


def joined(device: Any, module: Any) -> Any:
    return (
        f"{device}/{module}"
        if type(device) is str and type(module) is str and device and module
        else device
    )


# Twins


def is_twin(payload: dict[str, Any]) -> bool:
    """A change of a twin, with or without the properties that the function shall add."""
    if "opType" in payload and "deviceId" in payload:
        return payload["opType"] in OPERATIONS
    return (
        "version" in payload
        and ("tags" in payload or "properties" in payload)
        and payload.keys() <= TWIN | ABOUT_TWIN
    )


def read_twin(payload: dict[str, Any], reading: DecodeOptions) -> tuple[Change, ...]:
    """A change is a patch; what replaces the twin first clears its parts, at the same stamp. Raises Refused."""
    device = payload.get("deviceId")
    if device is None and reading.default is None and reading.device is None:
        raise Malformed(
            "It is a change of a twin that does not say whose: the function that forwards it must add deviceId "
            "and opType, which are properties of the message."
        )
    name = reading.device_of(payload, joined(device, payload.get("moduleId")))
    state = parts_of(payload)
    by: Speaker = "device" if state.get("reported") else "system"
    time, version = payload.get("operationTimestamp"), payload.get("version", MISSING)
    change = reading.change(payload, name, state, time=time, sequence=version, by=by)
    if payload.get("opType") != "replaceTwin":
        return (change,)
    id_ = None if change.event_id is None else f"{change.event_id} cleared"
    return replace(change, state=dict.fromkeys(PARTS), event_id=id_), change


def parts_of(twin: Any) -> dict[str, Any]:
    """``tags``, ``desired`` and ``reported`` of a twin, as far as they are there, without the hub's own notes."""
    places = {
        "tags": ("tags",),
        "desired": ("properties", "desired"),
        "reported": ("properties", "reported"),
    }
    found = {
        name: part for name, place in places.items() if (part := find(twin, place)) is not MISSING
    }
    for name, part in found.items():
        if type(part) is dict:
            found[name] = {
                inner: value
                for inner, value in part.items()
                if inner not in ("$metadata", "$version")
            }
        elif part is not None:
            raise Malformed(f"“{name}” of a twin must be an object; it is {kind(part)}.")
    return found

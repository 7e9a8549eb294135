"""Azure IoT Hub: events of devices from Event Grid, and changes of twins forwarded by a function.

A device has the name that it has in the hub; a module is the device ``device/module``. Telemetry is
merged into the state unchanged. Fields beside it come from the hub: ``connectionState``,
``status``, and ``tags``, ``desired`` and ``reported`` of the twin.

Only telemetry, a new connection and reported properties count as a sign of life (``by`` is
``device``). A device that was created, changed by the back end or disconnected did not send
anything itself.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from statecast import timestamps
from statecast.decoders import encodings
from statecast.decoders.encodings import Decode
from statecast.decoders.event import EventEnvelope
from statecast.decoders.event import changes as other_changes
from statecast.decoders.options import DecodeOptions
from statecast.decoders.plain import kind
from statecast.decoders.pointers import MISSING, Pointer, find
from statecast.errors import Malformed
from statecast.model import Change, Speaker

EVENTS = "Microsoft.Devices."
TELEMETRY = f"{EVENTS}DeviceTelemetry"
BODY: Pointer = ("data", "body")
CONNECTION = {"DeviceConnected": "Connected", "DeviceDisconnected": "Disconnected"}
SEQUENCE_NUMBER = ("data", "deviceConnectionStateEventInfo", "sequenceNumber")

CREATION_TIME = "iothub-creation-time-utc"
"""A property that devices set."""

OPERATIONS = ("updateTwin", "replaceTwin")
TWIN = {"version", "tags", "properties"}
"""Members of the body of a twin's change."""
ABOUT_TWIN = {
    "deviceId",
    "moduleId",
    "hubName",
    "opType",
    "operationTimestamp",
    "iothub-message-schema",
}
"""Properties of that message, which the function must add to the body."""
PARTS = ("tags", "desired", "reported")


def is_event(type_: str) -> bool:
    return type_.startswith(EVENTS)


def opened(payload: dict[str, Any], type_: Any, decode: Decode) -> tuple[dict[str, Any], Pointer]:
    """An event with its data decoded, and where an array of readings may be.

    The body of telemetry is JSON if the device declares it, else Base64 of JSON. Raises Malformed.
    """
    if type(payload.get("data")) is str:
        payload = {**payload, "data": encodings.inner(payload["data"], decode)}
    body = find(payload, BODY)
    if type_ != TELEMETRY or body is MISSING:
        return payload, BODY[:1]
    value = encodings.inner(body, decode)
    if type(value) is str:
        reason = encodings.why_not(value)
        raise Malformed(f"The body of its telemetry cannot be read as JSON. {reason}")
    return {**payload, "data": {**payload["data"], "body": value}}, BODY


def changes(event: EventEnvelope, options: DecodeOptions) -> tuple[Change, ...]:
    """The changes of one event, in either schema of Event Grid. Raises Refused."""
    what = event.type.removeprefix(EVENTS)
    if what == "DeviceTelemetry":
        return (telemetry(event, options),)
    if what in CONNECTION:
        by: Speaker = "device" if what == "DeviceConnected" else "system"
        return (
            about(
                event,
                options,
                {"connectionState": CONNECTION[what]},
                find(event.payload, SEQUENCE_NUMBER),
                by,
            ),
        )
    if what == "DeviceCreated":
        return (device_created(event, options),)
    if what == "DeviceDeleted":
        device = device_of(event, options)
        version = find(event.data, ("twin", "version"))
        return (
            options.change(
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
    return other_changes(event, options)


def telemetry(event: EventEnvelope, options: DecodeOptions) -> Change:
    """A device's telemetry; ``opened`` has decoded its body."""
    state = options.state_of(event.payload, find(event.payload, BODY))
    return about(replace(event, time=creation_time(event)), options, state, MISSING, "device")


def creation_time(event: EventEnvelope) -> Any:
    """When the device made the telemetry, if it says so in a form that can be read.

    The event's own time is when it came to the hub. A device that was offline sends late.
    """
    for place in ("properties", "systemProperties"):
        found = find(event.data, (place, CREATION_TIME))
        if type(found) is str:
            with suppress(Malformed):
                timestamps.parse_time(found)
                return found
    return event.time


def device_created(event: EventEnvelope, options: DecodeOptions) -> Change:
    """A new device, with what its twin contains."""
    twin = find(event.data, ("twin",))
    state = {
        name: twin[name]
        for name in ("status", "connectionState")
        if find(twin, (name,)) is not MISSING
    }
    state |= {name: part for name, part in parts_of(twin).items() if part}
    return about(event, options, state, find(twin, ("version",)), "system")


def about(
    event: EventEnvelope, options: DecodeOptions, state: dict[str, Any], sequence: Any, by: Speaker
) -> Change:
    """A change of the device of the event."""
    device = device_of(event, options)
    return options.change(
        event.payload, device, state, time=event.time, sequence=sequence, event_id=event.id, by=by
    )


def device_of(event: EventEnvelope, options: DecodeOptions) -> str:
    """The device of an event: authenticated by the hub in telemetry, else ``deviceId``, else the
    subject."""
    sender = find(event.data, ("systemProperties",))
    device = find(sender, ("iothub-connection-device-id",))
    module = find(sender, ("iothub-connection-module-id",))
    if device is MISSING:
        device, module = find(event.data, ("deviceId",)), find(event.data, ("moduleId",))
    if device is MISSING and type(event.subject) is str:
        device = event.subject.removeprefix("devices/")
    return options.device_of(event.payload, full_name(device, module))


def full_name(device: Any, module: Any) -> Any:
    """``device/module``, or the device if there is no module."""
    return (
        f"{device}/{module}"
        if type(device) is str and type(module) is str and device and module
        else device
    )


# Twins


def is_twin(payload: dict[str, Any]) -> bool:
    """Whether this is a change of a twin, with or without the properties of its message."""
    if "opType" in payload and "deviceId" in payload:
        return payload["opType"] in OPERATIONS
    return (
        "version" in payload
        and ("tags" in payload or "properties" in payload)
        and payload.keys() <= TWIN | ABOUT_TWIN
    )


def read_twin(payload: dict[str, Any], options: DecodeOptions) -> tuple[Change, ...]:
    """The changes of a twin. Raises Refused.

    An update is one patch. A replacement first clears the parts of the twin, with the same stamp.
    """
    device = payload.get("deviceId")
    if device is None and options.default is None and options.device is None:
        raise Malformed(
            "It is a change of a twin that does not say whose: the function that forwards it must "
            "add deviceId and opType, which are properties of the message."
        )
    name = options.device_of(payload, full_name(device, payload.get("moduleId")))
    state = parts_of(payload)
    by: Speaker = "device" if state.get("reported") else "system"
    time, version = payload.get("operationTimestamp"), payload.get("version", MISSING)
    change = options.change(payload, name, state, time=time, sequence=version, by=by)
    if payload.get("opType") != "replaceTwin":
        return (change,)
    id_ = None if change.event_id is None else f"{change.event_id} cleared"
    return replace(change, state=dict.fromkeys(PARTS), event_id=id_), change


def parts_of(twin: Any) -> dict[str, Any]:
    """``tags``, ``desired`` and ``reported`` of a twin, if present, without the hub's metadata."""
    pointers = {
        "tags": ("tags",),
        "desired": ("properties", "desired"),
        "reported": ("properties", "reported"),
    }
    found = {
        name: part
        for name, pointer in pointers.items()
        if (part := find(twin, pointer)) is not MISSING
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

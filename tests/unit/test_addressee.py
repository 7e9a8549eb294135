"""Which device an unreadable message may be about: a hint, for people who look for it."""

from __future__ import annotations

import base64
import json

import pytest

from statecast.decoders import open_decoder
from statecast.model import Delivery

GRID = {"id": "e", "eventType": "Example", "eventTime": "yesterday", "data": {}}
CLOUD = {"specversion": "1.0", "id": "e", "source": "/hall", "type": "t", "data": 5}
HUB = {
    **GRID,
    "eventType": "Microsoft.Devices.DeviceTelemetry",
    "subject": "devices/other",
    "data": {"body": 5, "systemProperties": {"iothub-connection-device-id": "pillow"}},
}


@pytest.mark.parametrize(
    ("body", "options", "device"),
    [
        # it says so itself
        ('{"device": "pillow", "state": "sad"}', "", "pillow"),
        ('{"device": "pillow", "mood": "sad"}', "", "pillow"),
        ('{"device": "pillow", "state": {"n": NaN}}', "", "pillow"),
        ('{"device": "pillow", "state": {"n": 1e999}}', "", "pillow"),
        ('{"device": "pillow", "state": {"n": 1', "", "pillow"),
        ('{"device": "pillow", "device": "pillow", "state": {}}', "", "pillow"),
        ('{"device": "pillow", "state": {"a": ' + "[" * 60_000, "", "pillow"),
        ('{"device": "pillow", "state": {"t": "' + "x" * 70_000 + '"}}', "", "pillow"),
        ('{"device": "pillow", "time": "yesterday", "state": {}}', "prefix=hall/", "hall/pillow"),
        # a source that belongs to one device
        ('{"time": "yesterday", "state": {}}', "default=pillow", "pillow"),
        ("5", "default=pillow", "pillow"),
        ("", "default=pillow", "pillow"),
        ('{"thing": "pillow", "values": 5}', "device=/thing&state=/values", "pillow"),
        # events
        (json.dumps({**GRID, "subject": "pillow"}), "", "pillow"),
        (json.dumps({**GRID, "subject": "devices/pillow"}), "", "pillow"),
        (json.dumps(HUB), "", "pillow"),
        (json.dumps({**CLOUD, "subject": "pillow"}), "", "pillow"),
        (json.dumps(CLOUD), "", "hall"),
        # nothing says so
        ('{"mood": "sad"}', "", None),
        ('{"device": null, "state": {}}', "", None),
        ('{"device": {"friendlyName": "Door"}}', "", None),
        ('{"device": "", "state": {}}', "", None),
        ("sad", "", None),
        ("[]", "", None),
        ("[1, 2]", "", None),
        ("5", "", None),
        ("", "", None),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_device_of_a_refused_message(
    body: str, options: str, device: str | None, wrapped: bool
) -> None:
    decode = open_decoder(dict(one.split("=") for one in options.split("&") if one), "test:")
    text = base64.b64encode(body.encode()) if wrapped else body.encode()
    message = decode(Delivery("a", text, 0))
    assert not message.changes
    assert {refusal.device for refusal in message.refusals} == {device}


def test_each_item_of_an_array_has_its_own() -> None:
    body = b'[{"device":"pillow","state":1}, {"device":"chair","state":{}}, {"mood":"sad"}]'
    message = open_decoder({}, "test:")(Delivery("a", body, 0))
    assert [refusal.device for refusal in message.refusals] == ["pillow", None]
    assert [change.device for change in message.changes] == ["chair"]

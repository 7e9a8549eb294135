"""The decoder of a source.

What it recognises by which members, the documented samples, and that it never raises.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statecast import names
from statecast.decoders import OPTIONS, open_decoder
from statecast.decoders.decoder import Decoder
from statecast.errors import BadSetting
from statecast.model import Change, Delivery, Message
from statecast.testing.values import START

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
CLOUD = {
    "specversion": "1.0",
    "id": "c1",
    "source": "/hub",
    "type": "t",
    "subject": "cloud",
    "data": {"a": 1},
}
GRID = {
    "id": "g1",
    "eventType": "t",
    "eventTime": "2026-01-31T12:00:00Z",
    "subject": "grid",
    "data": {"a": 1},
}
TWIN = {"deviceId": "twin", "opType": "updateTwin", "version": 1, "tags": {"a": 1}}
PLAIN = {"device": "plain", "state": {"a": 1}}


def decoded(body: bytes | str | Any, url: str = "azure-queue:pillow", **options: str) -> Message:
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    return open_decoder(options, url)(Delivery("m1", body, START))


def one(body: bytes | str | Any, url: str = "azure-queue:pillow", **options: str) -> Change:
    message = decoded(body, url, **options)
    assert message.refusals == ()
    (change,) = message.changes
    assert len(message.items) == 1
    return change


def reason(body: bytes | str | Any, url: str = "azure-queue:pillow", **options: str) -> str:
    message = decoded(body, url, **options)
    assert message.changes == () == message.items
    (refusal,) = message.refusals
    return refusal.reason


# Which kind it is


@pytest.mark.parametrize(
    ("said", "device"),
    [
        (CLOUD, "cloud"),
        (GRID, "grid"),
        (TWIN, "twin"),
        (PLAIN, "plain"),
        (
            GRID | CLOUD,
            "cloud",
        ),  # its members are those of both; the first line of the table counts
        (CLOUD | {"device": "plain", "state": {}}, "cloud"),  # extensions of a CloudEvent
        (GRID | PLAIN, "grid"),
        (TWIN | PLAIN, "twin"),
    ],
)
@pytest.mark.parametrize("url", ["azure-queue:pillow", "embedded:queue"])
def test_the_members_say_what_it_is(said: dict[str, Any], device: str, url: str) -> None:
    assert one(said, url).device == device
    assert one(said | {"$AzureWebJobsParentId": "1-2-3"}, url).device == device


@pytest.mark.parametrize("url", ["azure-queue:pillow", "embedded:queue"])
def test_an_event_that_lacks_something_is_told_what(url: str) -> None:
    said = {"specversion": "1.0", "id": "c1", "data": {}}
    assert (
        reason(said, url)
        == "It has the member “specversion”, but a CloudEvent also has source, type."
    )
    assert "an event of Event Grid also has eventTime, subject." in reason(
        {"id": "g1", "eventType": "t"}, url
    )


def test_a_default_device_takes_what_names_none() -> None:
    assert one({"mood": "happy"}, default="pillow") == Change("pillow", "merge", {"mood": "happy"})
    assert one({"state": {"mood": "happy"}, "sequence": 3}, default="pillow").sequence == 3
    assert one(PLAIN, default="pillow").device == "plain"
    assert one({"mood": "happy", "specversion": "1.0"}, default="pillow").device == "pillow"
    assert "names no device" in reason({"mood": "happy"})


def test_your_own_messages_are_read_by_pointers() -> None:
    said = {
        "unit": {"name": "Lamp 1"},
        "values": {"on": True},
        "at": "2026-01-31T12:00:00Z",
        "nr": 9,
        "key": "k1",
    }
    options = {
        "device": "/unit/name",
        "state": "/values",
        "time": "/at",
        "sequence": "/nr",
        "id": "/key",
    }
    assert one(said, **options) == Change(
        "Lamp_x20_1", "merge", {"on": True}, 1_769_860_800_000, 9, "k1"
    )
    assert one(said, device="/unit/name").state == said
    assert one({"device": "lamp", "values": {"on": True}}, state="/values") == Change(
        "lamp", "merge", {"on": True}
    )
    assert one(said, state="/values", default="lamp").device == "lamp"
    assert "nothing at /unit/nr" in reason(said, device="/unit/nr")


def test_a_plain_message_stays_one_beside_pointers() -> None:
    assert one(PLAIN, device="/unit", state="/values") == Change("plain", "merge", {"a": 1})
    assert one({"device": "plain", "delete": True}, device="/unit").kind == "delete"


def test_only_a_queue_that_others_write_may_bring_members_of_their_own() -> None:
    said = PLAIN | {"ts": "...", "sequence": 3}
    assert one(said) == Change("plain", "merge", {"a": 1}, sequence=3)
    assert "“ts” is not a member" in reason(said, "embedded:queue")
    assert "brings no state" in reason({"device": "plain", "tiem": 1})
    assert "“time” must be text" in reason(said | {"time": 5})


def test_every_queue_may_wrap_its_texts() -> None:
    wrapped = base64.b64encode(json.dumps(PLAIN).encode())
    for url in ("azure-queue:pillow", "embedded:queue"):
        assert one(wrapped, url).device == "plain"
        assert one(json.dumps(json.dumps(PLAIN)), url).device == "plain"


# Data as text, and batches


def test_pointers_lead_into_json_that_is_text() -> None:
    # given what a flow forwards: the topic, and the payload as text
    said = {"topic": "lamps/1", "payload": json.dumps({"id": 5, "v": {"on": True}, "n": 3})}
    # when pointers name places in that text, then these count
    options = {"device": "/payload/id", "state": "/payload/v", "sequence": "/payload/n"}
    assert one(said, **options) == Change("5", "merge", {"on": True}, sequence=3)
    encoded = said | {"payload": base64.b64encode(said["payload"].encode()).decode()}
    assert one(encoded, **options) == one(said, **options)
    assert one(said, device="/topic", state="/payload").state["id"] == 5
    assert "there is nothing at /topic/id" in reason(said, device="/topic/id")
    assert "JSON as text that cannot be read" in reason(
        said | {"payload": '{"id":'}, device="/payload/id"
    )


READINGS = [{"t": 20, "at": "2026-01-31T12:00:00Z"}, {"t": 21, "at": "2026-01-31T12:00:05Z"}]
HUB = {
    "id": "e1",
    "subject": "devices/d1",
    "eventType": "Microsoft.Devices.DeviceTelemetry",
    "eventTime": "2026-01-31T12:00:10Z",
    "data": {"systemProperties": {"iothub-connection-device-id": "d1"}, "body": READINGS},
}
AS_TEXT = base64.b64encode(json.dumps(READINGS).encode()).decode()
BATCHES: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("telemetry", HUB, {}),
    ("telemetry in Base64", HUB | {"data": HUB["data"] | {"body": AS_TEXT}}, {}),
    ("data of Event Grid", GRID | {"data": READINGS}, {}),
    ("data of Event Grid as text", GRID | {"data": json.dumps(READINGS)}, {}),
    ("data of a CloudEvent", CLOUD | {"data": READINGS}, {}),
    (
        "data of a CloudEvent in Base64",
        {**{name: CLOUD[name] for name in CLOUD if name != "data"}, "data_base64": AS_TEXT},
        {},
    ),
    (
        "of your own",
        {"dev": "d1", "values": {"all": READINGS}},
        {"device": "/dev", "state": "/values/all"},
    ),
    (
        "of your own as text",
        {"dev": "d1", "values": json.dumps({"all": READINGS})},
        {"device": "/dev", "state": "/values/all"},
    ),
]


@pytest.mark.parametrize(
    ("said", "options"), [row[1:] for row in BATCHES], ids=[row[0] for row in BATCHES]
)
def test_an_array_of_readings_is_an_event_for_each(
    said: dict[str, Any], options: dict[str, str]
) -> None:
    # when an event has an array where its state belongs
    message = decoded(said, **options)
    # then each reading is a change, in the order of the array
    assert message.refusals == ()
    assert [change.state for change in message.changes] == READINGS
    assert [index for index, _ in message.items] == [0, 1]
    # and events have ids of their own
    ids = {change.event_id for change in message.changes}
    assert len(ids) == (2 if "id" in said else 1)


def test_a_reading_may_have_its_own_time() -> None:
    message = decoded(HUB, time="/data/body/at")
    assert [change.time for change in message.changes] == [1_769_860_800_000, 1_769_860_805_000]


def test_a_bad_reading_is_refused_alone_and_can_be_read_again() -> None:
    # given a batch with one reading that is no state
    data = HUB["data"] | {"body": [READINGS[0], 5, READINGS[1]]}
    message = decoded(HUB | {"data": data})
    assert [change.state for change in message.changes] == READINGS
    (refusal,) = message.refusals
    assert refusal.item == 1 and "is a number" in refusal.reason
    # when what went to quarantine is mended and read, then it is that reading of that event
    mended = json.loads(refusal.body)
    mended["data"]["body"] = {"t": 22}
    assert one(mended) == Change("d1", "merge", {"t": 22}, 1_769_860_810_000, 0, "e1 1")


def test_a_batch_in_an_array_belongs_to_its_item() -> None:
    message = decoded([PLAIN, HUB])
    assert [index for index, _ in message.items] == [0, 1, 1]


def test_a_batch_has_1000_readings_at_most() -> None:
    readings = [{"t": 1}] * 1_001
    assert "1001 readings" in reason(GRID | {"data": readings})
    assert len(decoded(GRID | {"data": readings[1:]}).changes) == 1_000
    assert "is an array" in reason(GRID | {"data": []})


def test_options_go_for_plain_messages_too() -> None:
    assert one(PLAIN, prefix="hub/").device == "hub/plain"
    assert one({"mood": "happy"}, default="pillow", prefix="hub/").device == "hub/pillow"
    assert one(PLAIN | {"sequence": 0}, order="sequence").by_sequence
    assert "brings no sequence" in reason(PLAIN, order="sequence")
    assert "brings no sequence" in reason({"mood": "happy"}, default="pillow", order="sequence")
    with pytest.raises(BadSetting, match="must be time or sequence"):
        open_decoder({"order": "x"}, "azure-queue:pillow")


def test_every_option_has_its_line_in_the_how_to() -> None:
    page = (SAMPLES.parent.parent / "docs" / "how-to" / "read-events.md").read_text()
    assert not [
        option for option in OPTIONS if f"| `{option}`" not in page and f", `{option}`" not in page
    ]


# Arrays


def test_items_of_an_array_stand_alone_whatever_they_are() -> None:
    validation = GRID | {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent"}
    items: list[Any] = [
        CLOUD,
        5,
        GRID,
        validation,
        {"device": "a b", "state": {}},
        TWIN | {"opType": "replaceTwin"},
    ]
    message = decoded(base64.b64encode(json.dumps(items).encode()))
    assert [change.device for change in message.changes] == ["cloud", "grid", "twin", "twin"]
    assert [index for index, _ in message.items] == [0, 2, 5, 5]
    assert json.loads(message.items[1][1]) == GRID
    assert [(refusal.item, json.loads(refusal.body)) for refusal in message.refusals] == [
        (1, 5),
        (4, items[4]),
    ]


def test_a_refused_message_is_kept_as_it_came() -> None:
    body = base64.b64encode(b'{"device":5}')
    (refusal,) = decoded(body).refusals
    assert refusal.body == body and refusal.item is None


def test_what_says_nothing_of_a_device_is_done_with() -> None:
    message = decoded(GRID | {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent"})
    assert not message.changes and not message.items and not message.refusals


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537])
def test_a_message_has_at_most_64_kib_without_its_wrapping(size: int) -> None:
    empty = json.dumps({"device": "plain", "state": {"a": ""}})
    body = empty.replace('""', f'"{"x" * (size - len(empty))}"').encode()
    message = decoded(base64.b64encode(body))
    assert bool(message.changes) is (size <= 65_536)


# The samples of the vendors' documents, byte for byte: (file, options, device, state, time,
# sequence)

BLOB = {
    "api": "PutBlob",
    "blobType": "BlockBlob",
    "sequencer": "00000000000000000000000000015508000000000005101c",
}
OTHER = {
    "api": "PutBlockList",
    "contentLength": 30699,
    "sequencer": "000000000000000000000000000099240000000000c41c18",
}
DESIRED = {"tags": {"tag1": "new value"}, "desired": {"property1": "new value"}}
DOCUMENTED: list[tuple[str, dict[str, str], str, dict[str, Any], int | None, int]] = [
    (
        "event_grid_blob.json",
        {},
        "blobServices/default/containers/deadletter/blobs/myBlobFile.txt",
        BLOB,
        1_597_339_093_164,
        0x15508000000000005101C,
    ),
    (
        "cloud_event_blob.json",
        {},
        "blobServices/default/containers/_x7B_container_x7D_/blobs/_x7B_new-file_x7D_",
        OTHER,
        1_574_090_019_458,
        0x99240000000000C41C18,
    ),
    (
        "iot_hub_connected.json",
        {},
        "LogicAppTestDevice/DeviceModuleID",
        {"connectionState": "Connected"},
        1_527_967_064_438,
        0x1D4132452F67CE200000002000000000000000000000001,
    ),
    (
        "iot_hub_telemetry.json",
        {},
        "d1",
        {"Weather": {"Temperature": 900}, "Location": "USA"},
        1_546_894_710_480,
        0,
    ),
    (
        "iot_hub_telemetry.json",
        {"state": "/data/body/Weather"},
        "d1",
        {"Temperature": 900},
        1_546_894_710_480,
        0,
    ),
    (
        "iot_hub_telemetry.json",
        {"device": "/subject"},
        "devices/LogicAppTestDevice",
        {},
        1_546_894_710_480,
        0,
    ),
    ("twin_update.json", {"default": "thermostat"}, "thermostat", DESIRED, None, 7),
    ("plain.json", {}, "d-17", {"on": True}, None, 0),
]


def test_every_sample_is_read_here() -> None:
    assert {path.name for path in SAMPLES.iterdir() if path.is_file()} == {
        name for name, *_ in DOCUMENTED
    }


@pytest.mark.parametrize(("file", "options", "device", "state", "time", "sequence"), DOCUMENTED)
@pytest.mark.parametrize("form", ["base64", "text", "array"])
def test_the_documented_samples(
    file: str,
    options: dict[str, str],
    device: str,
    state: dict[str, Any],
    time: int | None,
    sequence: int,
    form: str,
) -> None:
    body = (SAMPLES / file).read_bytes()
    if form == "base64":
        body = base64.b64encode(body)
    if form == "array":
        body = b"[" + body + b"]"
    change = one(body, **options)
    assert change.device == device
    assert state.items() <= change.state.items()
    assert (change.time, change.sequence) == (time, sequence)


# Fuzz

keys = st.sampled_from(
    [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "data",
        "data_base64",
        "datacontenttype",
        "sequence",
        "eventType",
        "eventTime",
        "deviceId",
        "moduleId",
        "opType",
        "version",
        "tags",
        "properties",
        "desired",
        "reported",
        "twin",
        "body",
        "systemProperties",
        "device",
        "state",
        "replace",
        "delete",
        "iothub-connection-device-id",
        "iothub-content-type",
        "sequencer",
        "$version",
        "silent_after",
        "by",
    ]
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(
        [
            "1.0",
            "2026-01-31T12:00:00Z",
            "e30=",
            "d1",
            "application/json",
            "updateTwin",
            "replaceTwin",
        ]
        + [
            f"Microsoft.Devices.Device{what}"
            for what in ("Telemetry", "Connected", "Created", "Deleted")
        ]
    )
)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


def nearly(*bases: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Good events, some of whose members are not."""
    return st.builds(
        lambda base, more: base | more,
        st.sampled_from(bases),
        st.dictionaries(keys, anything, max_size=3),
    )


hub = {
    **GRID,
    "eventType": "Microsoft.Devices.DeviceTelemetry",
    "data": {"body": "e30=", "deviceId": "d1"},
}
messages = (
    anything
    | nearly(CLOUD, GRID, TWIN, PLAIN, hub)
    | st.lists(nearly(CLOUD, GRID, TWIN, PLAIN, hub), max_size=3)
)
has_pointers = {
    "device": "/subject",
    "state": "/data",
    "time": "/time",
    "sequence": "/sequence",
    "id": "/id",
}
DECODERS = [
    open_decoder(options, url)
    for url in ("azure-queue:pillow", "embedded:queue")
    for options in (
        {},
        {"default": "pillow"},
        {"order": "sequence", "prefix": "hub/"},
        has_pointers,
    )
]


def check(message: Message, body: bytes) -> None:
    assert message.delivery.body == body
    assert len(message.items) == len(message.changes)
    for change in message.changes:
        assert names.check(change.device)
        assert (
            change.sequence >= 0
            and change.kind in ("merge", "replace", "delete")
            and change.by in ("device", "user", "system")
        )
        json.dumps(change.state, allow_nan=False).encode()
    for refusal in message.refusals:
        assert (
            refusal.reason.isprintable()
            and refusal.reason.endswith((".", ".."))
            and len(refusal.reason) < 300
        )


@given(messages, st.sampled_from(DECODERS), st.booleans())
def test_any_json_is_read_or_refused_with_a_reason(
    said: Any, decode: Decoder, wrapped: bool
) -> None:
    body = json.dumps(said).encode()
    body = base64.b64encode(body) if wrapped else body
    check(decode(Delivery("m1", body, START)), body)


@given(
    st.binary(max_size=80)
    | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_bytes_are_read_or_refused_with_a_reason(body: bytes) -> None:
    for decode in DECODERS:
        for form in (body, base64.b64encode(body)):
            message = decode(Delivery("m1", form, START))
            check(message, form)
            assert message.refusals or message.changes


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 60_000,
        b'{"a":' * 20_000,
        b'"' * 60_000,
        b'{"device":"a","state":{"a":1e999}}',
        b'{"specversion":"1.0","id":"1","source":"/a","type":"t","subject":"\\ud800","data":{}}',
        b"A" * 65_536,
        b"\x00\x0b\x1f",
        b'{"specversion":"1.0","specversion":"1.0"}',
        base64.b64encode(b"[" * 49_000),
    ],
)
def test_what_breaks_parsers_is_refused(body: bytes) -> None:
    for decode in DECODERS:
        message = decode(Delivery("m1", body, START))
        assert message.refusals and not message.changes
        check(message, body)

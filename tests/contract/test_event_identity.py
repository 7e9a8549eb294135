"""An event is known by its id and by what it says: no event is lost because two have one id.

Each case sends a first event and a second one with the same id through decoder and store. A
``repetition`` differs in its envelope at most and must change nothing; an ``event of its own`` has
another time or other data and must be applied.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from statecast import strict_json
from statecast.decoders import open_decoder
from statecast.model import Delivery
from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.stores.limits import Limits
from statecast.stores.totals import Totals
from statecast.testing import VirtualClock
from statecast.testing.values import START

Event = dict[str, Any]

PLAIN: Event = {"device": "pillow", "id": "e", "state": {"temp": 20, "on": True}}
TIMED: Event = {**PLAIN, "time": "2025-12-31T23:59:57Z"}
GRID: Event = {
    "id": "e",
    "topic": "/hub",
    "subject": "pillow",
    "eventType": "Example.Changed",
    "eventTime": "2025-12-31T23:59:57Z",
    "data": {"temp": 20, "on": True},
    "dataVersion": "",
    "metadataVersion": "1",
}
CLOUD: Event = {
    "specversion": "1.0",
    "id": "e",
    "source": "/hub",
    "type": "example.changed",
    "subject": "pillow",
    "time": "2025-12-31T23:59:57Z",
    "data": {"temp": 20, "on": True},
}
TELEMETRY: Event = {
    **GRID,
    "subject": "devices/pillow",
    "eventType": "Microsoft.Devices.DeviceTelemetry",
    "data": {
        "body": {"temp": 20, "on": True},
        "properties": {},
        "systemProperties": {
            "iothub-content-type": "application/json",
            "iothub-content-encoding": "utf-8",
            "iothub-connection-device-id": "pillow",
        },
    },
}
CONNECTED: Event = {
    **GRID,
    "subject": "devices/pillow",
    "eventType": "Microsoft.Devices.DeviceConnected",
    "data": {
        "deviceId": "pillow",
        "deviceConnectionStateEventInfo": {"sequenceNumber": "0" * 63 + "1"},
    },
}
OWN: Event = {"thing": "pillow", "key": "e", "at": "2025-12-31T23:59:57Z", "values": {"temp": 20}}
POINTERS = "device=/thing&id=/key&time=/at&state=/values"


def with_body(event: Event, **body: Any) -> Event:
    return {**event, "data": {**event["data"], "body": body}}


def connected(number: int, **more: Any) -> Event:
    info = {"sequenceNumber": f"{number:064}"}
    return {
        **CONNECTED,
        "data": {**CONNECTED["data"], "deviceConnectionStateEventInfo": info},
        **more,
    }


def reordered(event: Event) -> Event:
    """The same, with the members of every object in the opposite order."""
    return {
        name: reordered(value) if isinstance(value, dict) else value
        for name, value in reversed(event.items())
    }


REPETITIONS: list[tuple[str, str, Event, Event]] = [
    ("plain", "", PLAIN, PLAIN),
    ("plain, other order of members", "", TIMED, reordered(TIMED)),
    ("plain, with the member of Azure Functions", "", PLAIN, {**PLAIN, "$AzureWebJobsParentId": 1}),
    ("plain, null for a missing member", "", PLAIN, {**PLAIN, "time": None, "sequence": None}),
    ("plain, time in another zone", "", TIMED, {**TIMED, "time": "2026-01-01T00:59:57+01:00"}),
    ("Event Grid", "", GRID, GRID),
    ("Event Grid, other metadata version", "", GRID, {**GRID, "metadataVersion": "2"}),
    ("Event Grid, other data version", "", GRID, {**GRID, "dataVersion": "2"}),
    ("Event Grid, other order of members", "", GRID, reordered(GRID)),
    ("CloudEvent", "", CLOUD, CLOUD),
    ("CloudEvent, extension of a broker", "", CLOUD, {**CLOUD, "deliverycount": 2}),
    ("CloudEvent, other order of members", "", CLOUD, reordered(CLOUD)),
    ("telemetry", "", TELEMETRY, reordered(TELEMETRY)),
    ("connection", "", CONNECTED, {**CONNECTED, "metadataVersion": "2"}),
    ("of your own", POINTERS, OWN, {**OWN, "attempt": 2}),
]
EVENTS_OF_THEIR_OWN: list[tuple[str, str, Event, Event]] = [
    ("plain, other state", "", PLAIN, {**PLAIN, "state": {"temp": 25}}),
    ("plain, other state, timed", "", TIMED, {**TIMED, "state": {"temp": 25}}),
    (
        "plain, other time and state",
        "",
        TIMED,
        {**TIMED, "time": "2025-12-31T23:59:59Z", "state": {"temp": 25}},
    ),
    ("plain, other sequence and state", "", PLAIN, {**PLAIN, "sequence": 7, "state": {"temp": 25}}),
    ("plain, replaced", "", PLAIN, {**PLAIN, "replace": True, "state": {"temp": 25}}),
    ("plain, true is not 1", "", PLAIN, {**PLAIN, "state": {"temp": 20, "on": 1}}),
    (
        "Event Grid, other time and data",
        "",
        GRID,
        {**GRID, "eventTime": "2025-12-31T23:59:58Z", "data": {"temp": 25, "alarm": True}},
    ),
    ("Event Grid, other data", "", GRID, {**GRID, "data": {"temp": 25}}),
    (
        "CloudEvent, other time and data",
        "",
        CLOUD,
        {**CLOUD, "time": "2025-12-31T23:59:58Z", "data": {"temp": 25}},
    ),
    ("CloudEvent, other data", "", CLOUD, {**CLOUD, "data": {"temp": 25}}),
    (
        "CloudEvent, other source, other data",
        "",
        CLOUD,
        {**CLOUD, "source": "/b", "data": {"t": 1}},
    ),
    (
        "telemetry, quick burst",
        "",
        TELEMETRY,
        {**with_body(TELEMETRY, temp=25, alarm=True), "eventTime": "2025-12-31T23:59:58Z"},
    ),
    ("telemetry, other body", "", TELEMETRY, with_body(TELEMETRY, temp=25)),
    (
        "connection, then gone",
        "",
        connected(1),
        connected(2, eventType="Microsoft.Devices.DeviceDisconnected"),
    ),
    ("of your own", POINTERS, OWN, {**OWN, "values": {"temp": 25}}),
]


@pytest.fixture(params=["memory:", "sqlite:///{}/store.db"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(request.param.format(tmp_path), Limits(), VirtualClock())) as opened:
        yield opened


def sender(store: Store, options: str) -> Callable[[Event], None]:
    """Sends events of a source with these options, each as a message of its own."""
    decode = open_decoder(dict(pair.split("=") for pair in options.split("&") if pair), "test:")
    numbers = iter(range(100))

    def send(event: Event) -> None:
        number = next(numbers)
        delivery = Delivery(str(number), json.dumps(event).encode(), START + number)
        message = decode(delivery)
        assert not message.refusals
        store.commit("queue", 1000, [message])

    return send


def named(cases: list[tuple[str, str, Event, Event]]) -> Any:
    return pytest.mark.parametrize(
        ("options", "first", "second"),
        [case[1:] for case in cases],
        ids=[case[0] for case in cases],
    )


@named(REPETITIONS)
def test_a_repetition_changes_nothing(
    store: Store, options: str, first: Event, second: Event
) -> None:
    send = sender(store, options)
    send(first)
    send(second)
    assert store.totals() == {"queue": Totals(messages=2, versions=1, duplicates=1)}


@named(EVENTS_OF_THEIR_OWN)
def test_another_event_with_the_same_id_is_applied(
    store: Store, options: str, first: Event, second: Event
) -> None:
    send = sender(store, options)
    send(first)
    send(second)
    assert store.totals() == {"queue": Totals(messages=2, versions=2)}
    # and each of the two is known from now on
    send(second)
    send(first)
    assert store.totals() == {"queue": Totals(messages=4, versions=2, duplicates=2)}


def test_a_burst_of_three_ends_in_the_newest(store: Store) -> None:
    # Given quick telemetry of one device, all with one id, as IoT Hub has sent it
    send = sender(store, "")
    for second, body in ((57, {"temp": 20}), (58, {"temp": 21}), (59, {"temp": 25, "alarm": True})):
        send({**with_body(TELEMETRY, **body), "eventTime": f"2025-12-31T23:59:{second}Z"})
    update = store.get("pillow")
    assert update is not None and update.state is not None
    assert (update.version, strict_json.decode(update.state)) == (3, {"temp": 25, "alarm": True})


def test_an_array_may_hold_a_repetition_and_another_event(store: Store) -> None:
    decode = open_decoder({}, "test:")
    other = {**GRID, "data": {"temp": 25}}
    body = json.dumps([GRID, reordered(GRID), other]).encode()
    store.commit("queue", 1, [decode(Delivery("a", body, START))])
    assert store.totals() == {"queue": Totals(messages=1, versions=2, duplicates=1)}


def test_an_id_that_an_older_version_has_stored_stays_known(tmp_path: Path) -> None:
    # Given a store with the row of an older version, which has no hash
    from statecast.stores.sqlite.driver import rows
    from statecast.stores.sqlite.store import SqliteStore

    with closing(SqliteStore(tmp_path / "store.db", Limits(), VirtualClock())) as store:
        with store.database.write() as connection:
            rows(connection, f"INSERT INTO known_events VALUES ('pillow', 'e', {START})")
        # then an event with this id counts as its repetition, and other ids as new
        send = sender(store, "")
        send(GRID)
        send({**GRID, "id": "f"})
        assert store.totals() == {"queue": Totals(messages=2, versions=1, duplicates=1)}

"""Azure Event Grid's own schema."""

from __future__ import annotations

from typing import Any

import pytest

from statecast.decoders.event_grid import MEMBERS, is_grid_event, read
from statecast.decoders.options import DecodeOptions, from_options
from statecast.errors import Refused
from statecast.model import Change


def event(**members: Any) -> dict[str, Any]:
    said = {
        "topic": "/subscriptions/s",
        "id": "e1",
        "eventType": "Example.Mood",
        "eventTime": "2026-01-31T12:00:00.1234567Z",
        "subject": "/rooms/1/pillow",
        "data": {"mood": "happy"},
        "dataVersion": "",
        "metadataVersion": "1",
    }
    return {name: value for name, value in (said | members).items() if value is not ...}


def one(said: dict[str, Any], **options: str) -> Change:
    (change,) = read(said, from_options(options))
    return change


def test_it_is_recognised_by_its_required_members() -> None:
    assert is_grid_event(event())
    assert is_grid_event(event(topic=..., metadataVersion=..., data=...))
    for member in MEMBERS:
        assert not is_grid_event(event(**{member: ...}))


def test_what_it_says() -> None:
    assert one(event()) == Change(
        "rooms/1/pillow", "merge", {"mood": "happy"}, 1_769_860_800_123, 0, "e1"
    )


def test_its_data_may_be_text() -> None:
    assert one(event(data='{"mood": "happy"}')) == one(event())
    assert one(event(data="eyJtb29kIjogImhhcHB5In0=")) == one(event())
    assert one(event(data='{"a":{"mood": "happy"}}'), state="/data/a") == one(event())


def test_where_things_lie_is_a_setting() -> None:
    change = one(
        event(data={"who": 7, "now": {"on": True}}),
        device="/data/who",
        state="/data/now",
        prefix="lamp-",
    )
    assert (change.device, change.state) == ("lamp-7", {"on": True})
    assert one(event(subject=""), default="chair").device == "chair"


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"id": None}, "“id” of an event of Event Grid"),
        ({"eventType": 5}, "“eventType” of an event of Event Grid"),
        ({"eventTime": "noon"}, "is not a time"),
        ({"subject": ""}, "names no device"),
        ({"subject": []}, "must be text or a whole number"),
        ({"data": ...}, "brings no state"),
        ({"data": "on"}, "its data is a text"),
    ],
)
def test_what_is_wrong_is_told(members: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        read(event(**members), DecodeOptions())
    assert sentence in str(refused.value)


def test_its_own_subscriptions_are_no_devices() -> None:
    """The validation is for webhooks; in a queue it is neither a state nor a fault."""
    for what in ("SubscriptionValidationEvent", "SubscriptionDeletedEvent"):
        data = {"validationCode": "512d38b6", "validationUrl": "https://example.com/validate"}
        assert (
            read(
                event(eventType=f"Microsoft.EventGrid.{what}", subject="", data=data),
                DecodeOptions(),
            )
            == ()
        )


def test_names_as_long_as_vendors_write_them_are_read() -> None:
    """Claims in events of Azure's resources are named by URIs."""
    claim = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"
    assert len(claim) == 68
    said = event(
        eventType="Microsoft.Resources.ResourceWriteSuccess",
        data={"claims": {claim: "8d2c", "aud": "https://management.example/"}},
    )
    assert one(said).state["claims"][claim] == "8d2c"

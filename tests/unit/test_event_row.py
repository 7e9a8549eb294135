"""The row of an application's event: what is written is read again, and what is damaged is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from statecast.model import Event
from statecast.stores import event_row

EVENT = Event("/chat", "said", b'["hello"]', ("room",), ("sid",), (b"\x00\xff",), origin="here")


@pytest.mark.parametrize(
    "event",
    [EVENT, *(Event("/", "room", rooms=("sid",), kind=kind) for kind in event_row.KINDS)],
    ids=lambda event: event.kind,
)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    assert event_row.decode(event_row.encode(event), event.origin) == event


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "explode"),
        ("kind", None),
        ("kind", ["emit"]),
        ("namespace", 5),
        ("namespace", None),
        ("name", 5),
        ("rooms", "room"),
        ("rooms", [5]),
        ("rooms", None),
        ("skip", [None]),
        ("data", 5),
        ("attachments", [5]),
        ("attachments", ["no base64!"]),
    ],
)
def test_a_damaged_row_is_no_event(field: str, value: Any) -> None:
    fields = {**json.loads(event_row.encode(EVENT)), field: value}
    assert event_row.decode(json.dumps(fields).encode(), "") is None


@pytest.mark.parametrize("row", [b"", b"[]", b"null", b"\xff", b"{}", b'{"kind":"emit"}'])
def test_what_is_no_row_is_no_event(row: bytes) -> None:
    assert event_row.decode(row, "") is None

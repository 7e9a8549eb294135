"""What any event says of a device: its subject, its data, its time, its sequence, its id."""

from __future__ import annotations

from typing import Any

import pytest

from statecast.decoders.event import EventEnvelope, changes
from statecast.decoders.options import DecodeOptions, from_options
from statecast.decoders.pointers import MISSING
from statecast.errors import Refused
from statecast.model import Change


def event(
    data: Any = MISSING, subject: Any = "pillow", source: Any = MISSING, **more: Any
) -> EventEnvelope:
    said = {"subject": subject, "data": data, **more}
    return EventEnvelope(
        said, "com.example.changed", "e1", subject, source, "2026-01-31T12:00:00Z", data
    )


def test_the_subject_is_the_device_and_the_data_its_state() -> None:
    assert changes(event({"mood": "happy"}), DecodeOptions()) == (
        Change("pillow", "merge", {"mood": "happy"}, 1_769_860_800_000, 0, "e1"),
    )
    assert changes(event({}, None, "/hub"), DecodeOptions())[0].device == "hub"


@pytest.mark.parametrize(
    ("made", "sequence"),
    [
        (event({"sequencer": "0a"}), 10),
        (event({}, sequence="0000000002"), 2),
        (event({}, sequence=3), 3),
        (event({"sequencer": "0b"}, sequence="1"), 11),
        (event({}, sequence="first"), 0),
    ],
)
def test_a_vendors_sequence_is_found(made: EventEnvelope, sequence: int) -> None:
    (change,) = changes(made, DecodeOptions())
    assert change.sequence == sequence and not change.by_sequence


def test_where_the_sequence_is_the_order_it_must_be_there() -> None:
    reading = from_options({"order": "sequence"})
    (change,) = changes(event({"sequencer": "0a"}), reading)
    assert change.by_sequence and change.sequence == 10
    with pytest.raises(Refused, match="brings no sequence"):
        changes(event({}), reading)


def test_data_that_is_no_object_is_refused_unless_a_pointer_finds_one() -> None:
    for data in (5, "text", [1], None, MISSING):
        with pytest.raises(Refused, match="its data is"):
            changes(event(data), DecodeOptions())
    (change,) = changes(event([{"a": 1}]), from_options({"state": "/data/0"}))
    assert change.state == {"a": 1}

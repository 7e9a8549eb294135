"""Azure Event Grid's own schema: an event is recognised by ``id``, ``eventType``, ``eventTime`` and ``subject``.

Its device is its ``subject``, its state its ``data``, merged; its ``id`` counts once. Events of IoT Hub are read by
``iot_hub``.
"""

from __future__ import annotations

from typing import Any

from statecast.decoders import iot_hub
from statecast.decoders.event import ABOUT_ITSELF, Event, changes
from statecast.decoders.options import Reading, required
from statecast.decoders.pointers import MISSING
from statecast.model import Change

MEMBERS = ("id", "eventType", "eventTime", "subject")


def is_one(said: dict[str, Any]) -> bool:
    return "eventType" in said and all(member in said for member in MEMBERS)


def read(said: dict[str, Any], reading: Reading) -> tuple[Change, ...]:
    """Raises Refused with a sentence."""
    type_ = required(said, "eventType", "an event of Event Grid")
    if type_.startswith(ABOUT_ITSELF):
        return ()
    event = Event(
        said,
        type=type_,
        id=required(said, "id", "an event of Event Grid"),
        subject=said["subject"],
        source=MISSING,
        time=said["eventTime"],
        data=said.get("data", MISSING),
    )
    return iot_hub.changes(event, reading) if iot_hub.is_event(type_) else changes(event, reading)

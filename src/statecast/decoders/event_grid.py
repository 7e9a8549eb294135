"""Events in the schema of Azure Event Grid.

They are recognised by ``id``, ``eventType``, ``eventTime`` and ``subject``.

The device is the ``subject``. The ``data`` is merged into its state. Events with the same ``id``
that say the same count once. Events of IoT Hub are read by ``iot_hub``.
"""

from __future__ import annotations

from typing import Any

from statecast.decoders import encodings, iot_hub
from statecast.decoders.encodings import Decode
from statecast.decoders.event import ABOUT_ITSELF, EventEnvelope, changes
from statecast.decoders.options import DecodeOptions, required
from statecast.decoders.pointers import MISSING, Pointer
from statecast.model import Change

MEMBERS = ("id", "eventType", "eventTime", "subject")


def is_grid_event(payload: dict[str, Any]) -> bool:
    return "eventType" in payload and all(member in payload for member in MEMBERS)


def opened(
    payload: dict[str, Any], decode: Decode = encodings.decode
) -> tuple[dict[str, Any], Pointer]:
    """The event with its data decoded, and where an array of readings may be. Raises Malformed."""
    return iot_hub.opened(payload, payload["eventType"], decode)


def read(payload: dict[str, Any], options: DecodeOptions) -> tuple[Change, ...]:
    """The changes of one event. Raises Refused with a sentence."""
    type_ = required(payload, "eventType", "an event of Event Grid")
    if type_.startswith(ABOUT_ITSELF):
        return ()
    payload, _ = opened(payload)
    event = EventEnvelope(
        payload,
        type=type_,
        id=required(payload, "id", "an event of Event Grid"),
        subject=payload["subject"],
        source=MISSING,
        time=payload["eventTime"],
        data=payload.get("data", MISSING),
    )
    return iot_hub.changes(event, options) if iot_hub.is_event(type_) else changes(event, options)

"""An event, independent of its schema: a CloudEvent or an event of Event Grid."""

from __future__ import annotations

from typing import Any

from statecast.decoders.options import DecodeOptions
from statecast.decoders.pointers import MISSING, Pointer, find
from statecast.model import Change, value_class

ABOUT_ITSELF = "Microsoft.EventGrid."
"""Prefix of the types of Event Grid's events about its own subscriptions.

They concern no device, so they are accepted and change nothing. The validation of a subscription
must be answered by a webhook, not by a queue."""
SEQUENCES: tuple[Pointer, ...] = (("data", "sequencer"), ("sequence",))
"""Places of a vendor's sequence: in events of blobs, and in CloudEvents with this extension."""


@value_class
class EventEnvelope:
    """One event. ``payload`` is all of it, with decoded data; the pointers refer to it."""

    payload: dict[str, Any]
    type: str
    id: str
    """Permanent: the same in every repetition of the event."""
    subject: Any
    source: Any
    """Names the device if the subject does not. MISSING if the schema has no such member."""
    time: Any
    data: Any
    """MISSING if the event has no data."""


def changes(event: EventEnvelope, options: DecodeOptions) -> tuple[Change, ...]:
    """The change of an event without special rules. Raises Refused."""
    payload = event.payload
    found = (value for pointer in SEQUENCES if (value := find(payload, pointer)) is not MISSING)
    device = options.device_of(payload, event.subject, event.source)
    state = options.state_of(payload, event.data)
    sequence = next(found, MISSING)
    return (
        options.change(
            payload, device, state, time=event.time, sequence=sequence, event_id=event.id
        ),
    )
